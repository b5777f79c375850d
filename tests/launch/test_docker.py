"""The Dockerfile passes its linter and takes nothing but wheels, and what it copies or names is there."""

import subprocess
import sys
from pathlib import Path

from mera.root import ROOT

DOCKERFILE = ROOT / "launch" / "docker" / "Dockerfile"


def test_the_linter_has_nothing_to_say():
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_only_the_wheelhouse_goes_into_the_build():
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in ignored if not line.startswith("#")] == ["*", "!wheelhouse"]
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert "COPY" not in text
    assert "ADD " not in text
    assert "--no-index --find-links /wheelhouse" in text


def test_it_runs_as_no_root_and_asks_no_hub():
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    assert "USER 1000" in lines
    assert "    HF_HUB_OFFLINE=1 \\" in lines
