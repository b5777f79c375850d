"""Tests see none of the code books that whoever runs them has made: one would name the codes of every task.

Files that take longest come first: where several processes share the files out, none begins a long one at the end.
"""

import gc
import os
import tempfile
from pathlib import Path

import pytest
from ready_python import start_for_all

os.environ["MERA_BOOKS"] = os.path.join(tempfile.gettempdir(), "mera-tests-have-no-books")

HERE = Path(__file__).parent
LONGEST = [
    "mera/training/test_engine.py",
    "benchmarks/test_gpu_kit.py",
    "rank/test_train.py",
    "house/test_network.py",
    "mera/system/test_terminal.py",
    "memorize/test_train.py",
    "memorize/test_text_to_text.py",
    "data/prepare/test_outside_candidates.py",
    "rank/patients/test_visit_events.py",
    "rank/test_four_bits.py",
    "rank/test_train_encoder_decoder.py",
    "mera/training/test_faults.py",
    "data/prepare/test_guarantees.py",
    "mera/commands/test_stages.py",
    "house/test_privacy.py",
    "mera/commands/serve/test_page.py",
    "mera/commands/serve/test_app.py",
    "mera/commands/serve/test_run.py",
    "data/codes/book/icd10cm/test_icd10cm_index.py",
    "memorize/code_sets/test_code_set.py",
    "bi_encoder/test_distributed.py",
    "data/sources/test_table.py",
    "rank/verification/test_verifier.py",
    "bi_encoder/test_train.py",
    "house/test_house.py",
    "bi_encoder/search/test_search.py",
    "data/codes/book/test_add.py",
]
"""From 90 to 8 seconds of CPU (`pytest --durations 0`); the option --no-loadscope-reorder leaves them in this order."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Before pytest-xdist starts its processes: they share one Python that has the libraries."""
    start_for_all()


def pytest_collection_modifyitems(items):
    place = {HERE / name: number for number, name in enumerate(LONGEST)}
    assert all(path.is_file() for path in place), "tests/conftest.py names a file that is not there"
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="module", autouse=True)
def nothing_to_look_through():
    """A Trainer calls the garbage collector, which goes through every object there is: for a second each time, in a
    process that has imported all tests and read an ontology. What is there before a file's tests counts no more."""
    gc.collect()
    gc.freeze()
