"""Numbers printed in papers, each with its protocol and source, marked where it differs from the task's; and what
ablations found, of which only the sign can be compared.

The papers' values come without intervals and from other drawings of the split, so no test compares them with ours. A
row of next-visit diagnoses stands only beside the same protocol; where notes are coded, rows stand beside any task of
the source, and say what differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mera.report.json_form import called
from mera.report.measures.task_record import TaskRecord

CHET_PROTOCOL = "chet"
TEST_PATIENTS = 1000
CODIESP_TEST = "testD.tsv"
"""The input file that a task has whose test split is CodiEsp's."""
CODIESP_NOTES = {"text_files_en/": "English", "text_files/": "Spanish"}
"""How the folder of the notes is called in each language."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    model: str
    metrics: Mapping[str, float]
    protocol: str
    source: str
    differs: tuple[str, ...]
    """What is not as in the task that it stands beside; empty where the protocol is the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedResult:
    """A row of a paper, as fractions."""

    task_source: str
    task_kind: str
    model: str
    metrics: Mapping[str, float]
    protocol: str
    source: str
    differences: Callable[[TaskRecord], tuple[str, ...] | None]
    """What differs in a task of that source and kind; None where the row may not stand beside it."""


def _from_chet(task: TaskRecord) -> tuple[str, ...] | None:
    patients = task.counts["test"].patients if "test" in task.counts else None
    return () if task.protocol == CHET_PROTOCOL and patients in (None, TEST_PATIENTS) else None


def _from_edin(task: TaskRecord) -> tuple[str, ...]:
    differences = ["split", "procedure codes are predicted too"]
    if task.record.get("ontology") != "icd10cm":
        differences.append("ICD-10 there")
    return tuple(differences)


def _from_codiesp(task: TaskRecord) -> tuple[str, ...]:
    inputs = list(task.record.get("inputs") or {})
    languages = [name for folder, name in CODIESP_NOTES.items() if any(file.endswith(folder) for file in inputs)]
    differences = []
    if task.protocol != "given":
        differences.append("split")
    elif CODIESP_TEST not in inputs:
        differences.append("split: the test documents there, dev here")
    if languages != ["Spanish"]:
        here = f"{languages[0]} here" if languages else "not recorded here"
        differences.append(f"language: Spanish there, {here}")
    return tuple(differences)


CHET = "Chet (Lu et al., AAAI 2022)"
CHET_METRICS = ("weighted_f1_at_label_count", "recall@10", "recall@20")
CHET_WORDS = "next-visit diagnoses, the last visit of 1,000 patients with two admissions or more"
CHET_SOURCE = "Lu, Han, Ning: Context-aware health event prediction via transition functions, AAAI 2022"
EDIN = "Edin et al., SIGIR 2023, doi 10.1145/3539618.3591918"
LOPEZ_GARCIA = "Lopez-Garcia et al., IEEE Access 2021, doi 10.1109/ACCESS.2021.3080085"
CODIESP_WORDS = "CodiEsp-D, 250 test documents in Spanish"
RESULTS = (
    PublishedResult(
        task_source="mimic3",
        task_kind="diagnosis",
        model=CHET,
        metrics=dict(zip(CHET_METRICS, (0.2263, 0.2864, 0.3787), strict=True)),
        protocol=CHET_WORDS,
        source=CHET_SOURCE,
        differences=_from_chet,
    ),
    PublishedResult(
        task_source="mimic4",
        task_kind="diagnosis",
        model=CHET,
        metrics=dict(zip(CHET_METRICS, (0.2635, 0.3028, 0.3869), strict=True)),
        protocol=CHET_WORDS,
        source=CHET_SOURCE,
        differences=_from_chet,
    ),
    PublishedResult(
        task_source="mimic4",
        task_kind="coding",
        model="PLM-ICD (reproduced by Edin et al.)",
        metrics={"micro_f1": 0.585, "macro_f1": 0.211, "map": 0.619},
        protocol="MIMIC-IV discharge summaries, ICD-10 codes of diagnoses and procedures, Edin's stratified split",
        source=EDIN,
        differences=_from_edin,
    ),
    PublishedResult(
        task_source="codiesp",
        task_kind="coding",
        model="Lopez-Garcia et al., one model",
        metrics={"micro_f1": 0.642, "map": 0.616},
        protocol=CODIESP_WORDS,
        source=LOPEZ_GARCIA,
        differences=_from_codiesp,
    ),
    PublishedResult(
        task_source="codiesp",
        task_kind="coding",
        model="Lopez-Garcia et al., 15 models together",
        metrics={"micro_f1": 0.677, "map": 0.662},
        protocol=CODIESP_WORDS,
        source=LOPEZ_GARCIA,
        differences=_from_codiesp,
    ),
)


def published_rows(task: TaskRecord) -> tuple[PublishedRow, ...]:
    """The published rows that may stand beside the task, with what differs; mostly none."""
    rows = []
    for result in RESULTS:
        if (result.task_source, result.task_kind) != (task.source, task.kind):
            continue
        differs = result.differences(task)
        if differs is not None:
            rows.append(
                PublishedRow(
                    model=result.model,
                    metrics=result.metrics,
                    protocol=result.protocol,
                    source=result.source,
                    differs=differs,
                )
            )
    return tuple(rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A key of the configuration in which a run differs from the reference, with both values as texts."""

    key: str
    reference: str
    changed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperFinding:
    metric: str
    finding: str = field(metadata=called("found"))


WEIGHTED_F1 = "weighted_f1_at_label_count"
FINDINGS = {
    ("stage one", "true", "false"): PaperFinding(metric="recall@20", finding="lower recall"),
    ("loss.levels", None, "all"): PaperFinding(metric=WEIGHTED_F1, finding="F1 −7 to −10"),
    ("loss.threshold_weight", None, "0"): PaperFinding(metric=WEIGHTED_F1, finding="F1 −4"),
    ("decoding", None, "autoregressive"): PaperFinding(metric="recall@20", finding="recall@20 −17"),
}
"""(key, reference's value or None for any, changed value) -> what Ma et al. (AAAI 2025) found when they took this away;
always a loss. Their F1 is read as weighted F1 at label count, the F1 of the tables they follow."""


def paper_finding(changes: Sequence[Change]) -> PaperFinding | None:
    """Where a run's changes are one of the paper's ablations."""
    others = [change for change in changes if change.key != "model.base"]
    if len(others) != 1:
        return None
    (change,) = others
    changed = change.changed.removesuffix(".0")
    return FINDINGS.get((change.key, change.reference, changed), FINDINGS.get((change.key, None, changed)))
