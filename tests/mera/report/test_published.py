"""Published rows: beside which tasks they stand, and what is marked as different."""

import pytest
from made_up_runs import change_run, make_runs

from mera.report import write_report
from mera.report.comparison.published import RESULTS, published_rows
from mera.report.measures.measure import METRICS
from mera.report.measures.task_record import TaskRecord
from mera.runs.predictions import read_predictions

CODIESP = {"source": "codiesp", "kind": "coding", "protocol": "given", "ontology": "icd10cm"}


def rows(record):
    return published_rows(TaskRecord.of({"fingerprint": "f" * 64, "split": "test"} | record))


@pytest.mark.parametrize(
    ("inputs", "protocol", "differs"),
    [
        (("train/text_files/", "trainD.tsv", "devD.tsv", "testD.tsv"), "given", ()),
        (("train/text_files/", "devD.tsv"), "given", ("split: the test documents there, dev here",)),
        (("train/text_files_en/", "testD.tsv"), "given", ("language: Spanish there, English here",)),
        (("train/text_files/", "testD.tsv"), "random", ("split",)),
        ((), "kfold", ("split", "language: Spanish there, not recorded here")),
    ],
)
def test_codiesp_rows_say_what_differs(inputs, protocol, differs):
    one, ensemble = rows(CODIESP | {"protocol": protocol, "inputs": dict.fromkeys(inputs, "sha")})
    assert (one.metrics, ensemble.metrics) == ({"micro_f1": 0.642, "map": 0.616}, {"micro_f1": 0.677, "map": 0.662})
    assert one.differs == ensemble.differs == differs
    assert "10.1109/ACCESS.2021.3080085" in one.source


def test_plm_icd_stands_beside_coding_of_mimic4_and_never_as_the_same():
    (row,) = rows({"source": "mimic4", "kind": "coding", "protocol": "random", "ontology": "icd10cm"})
    assert row.metrics == {"micro_f1": 0.585, "macro_f1": 0.211, "map": 0.619}
    assert row.differs == ("split", "procedure codes are predicted too")
    (row,) = rows({"source": "mimic4", "kind": "coding", "protocol": "random", "ontology": "icd9cm"})
    assert row.differs[-1] == "ICD-10 there"
    assert rows({"source": "mimic3", "kind": "coding", "protocol": "random"}) == ()


def test_every_result_has_a_protocol_a_source_and_metrics_of_the_report():
    keys = {metric.key for metric in METRICS}
    for result in RESULTS:
        assert result.protocol
        assert any(mark in result.source for mark in ("doi", "AAAI"))
        assert set(result.metrics) <= keys
        assert all(0 < value < 1 for value in result.metrics.values())


def test_the_table_names_difference_protocol_and_source(tmp_path):
    runs = make_runs(tmp_path / "runs")
    task = read_predictions(runs[1]).manifest["task"] | CODIESP | {"inputs": {"train/text_files_en/": "sha"}}
    run = change_run(runs[1], tmp_path / "coding", manifest={"task": task})
    page = write_report([run], tmp_path / "report", bootstrap_samples=5)
    table = (page.parent / "tables" / "published.csv").read_text(encoding="utf-8")
    assert "the test documents there, dev here; language: Spanish there, English here" in table
    assert "CodiEsp-D, 250 test documents in Spanish" in table
    assert "10.1109/ACCESS.2021.3080085" in table
    text = page.read_text(encoding="utf-8")
    assert "an orientation, no comparison" in text
