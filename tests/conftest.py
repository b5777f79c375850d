"""Tests see none of the code books that whoever runs them has made: one would name the codes of every task.

Files that take longest come first: where several processes share the files out, none begins a long one at the end.
"""

import os
import tempfile
from pathlib import Path

os.environ["MERA_BOOKS"] = os.path.join(tempfile.gettempdir(), "mera-tests-have-no-books")

HERE = Path(__file__).parent
LONGEST = [
    "mera/training/test_engine.py",
    "rank/test_train.py",
    "mera/training/test_faults.py",
    "memorize/test_train.py",
    "bi_encoder/test_train.py",
    "house/test_network.py",
    "benchmarks/test_gpu_7b.py",
    "mera/system/test_text_encoding.py",
    "data/prepare/test_guarantees.py",
    "house/test_privacy.py",
    "house/test_house.py",
    "mera/serve/test_page.py",
    "mera/serve/test_app.py",
    "mera/serve/test_run.py",
    "rank/baselines/test_neural.py",
    "data/codes/book/icd10cm/test_icd10cm_index.py",
    "mera/doctor/test_dry_run.py",
    "mera/doctor/test_step_estimate.py",
    "memorize/code_sets/test_code_set.py",
    "bi_encoder/test_distributed.py",
    "mera/doctor/test_examination.py",
    "bi_encoder/baselines/test_retrieval_baselines.py",
    "bi_encoder/search/test_search.py",
]
"""From 80 to 8 seconds of CPU (`pytest --durations 0`); the option --no-loadscope-reorder leaves them in this order."""


def pytest_collection_modifyitems(items):
    place = {HERE / name: number for number, name in enumerate(LONGEST)}
    assert all(path.is_file() for path in place), "tests/conftest.py names a file that is not there"
    items.sort(key=lambda item: place.get(item.path, len(place)))
