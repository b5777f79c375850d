"""What `accelerate launch` says of settings that nobody gave is for who wants to see all."""

import logging

import pytest
from accelerate.commands import launch

from mera.system import launcher
from mera.system.terminal import VERBOSE


@pytest.mark.parametrize("verbose", [False, True])
def test_it_says_what_it_chose_only_where_all_is_wanted(verbose, monkeypatch, caplog):
    logger = logging.getLogger(launch.__name__)
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setattr(launch, "main", lambda: logger.warning("--num_processes was set to 1"))
    monkeypatch.setenv(VERBOSE, "1" if verbose else "0")
    logger.setLevel(logging.NOTSET)
    launcher.main()
    assert (caplog.messages == ["--num_processes was set to 1"]) is verbose
    logger.setLevel(logging.NOTSET)
