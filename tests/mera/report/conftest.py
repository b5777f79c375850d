"""Made-up runs with all that a prediction folder may hold, and the report on them, made once."""

import json

import pytest
from made_up_runs import make_rich_runs

from mera.report import write_report


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    return make_rich_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def report_folder(runs, tmp_path_factory):
    return write_report(runs, tmp_path_factory.mktemp("reports") / "report", bootstrap_samples=50).parent


@pytest.fixture(scope="session")
def section(report_folder):
    return json.loads((report_folder / "report.json").read_text())["tasks"][0]
