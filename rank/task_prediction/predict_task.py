"""Ranking with a checkpoint, as `mera predict` does it: one patient from the command line, or a split of a task."""

import warnings
from collections.abc import Sequence

import numpy as np

from data.task import Task, load_task
from data.task_folder.features import PatientRow, TaskRow
from mera.runs.other_splits.trained_on import trained_on_sentence
from mera.system.errors import UserError
from rank.patients.code_reader import GROUPED_SYSTEMS
from rank.patients.coding_check import RuleUse
from rank.patients.notices import InputNotice
from rank.patients.patient_input import refuse, require_known, require_seen
from rank.patients.patient_ranker import PatientRanker
from rank.patients.phenotypes import Phenotype, Recalibration, measure_phenotype
from rank.task_prediction.ranked_files import RankedExample
from rank.verification.verifier import NEEDS_CANDIDATES, Verifier


def rank_patient(
    ranker: PatientRanker,
    history: str,
    days: str | None,
    phenotypes: Sequence[Phenotype],
    *,
    top: int,
    age: str | int | None,
    sex: str | None,
    text: str | None,
    allow_unknown: bool = False,
    rules: RuleUse = "none",
    explain: bool = False,
) -> RankedExample:
    """`history`: `428.0,401.9,drug:furosemide;584.9`, oldest visit first; `days`: `120;14`; `rules` and
    `explain`: as `PatientRanker.ranked` takes them. Raises UserError as `PatientRanker.row` does.

    An `InputNotice` names the few codes that the model does not have and reads as plain text.
    """
    visits = [visit.split(",") for visit in history.split(";") if visit.strip()]
    row = ranker.row(
        visits,
        days_before=days.split(";") if days else None,
        age=age,
        sex=sex,
        text=text,
        allow_unknown=allow_unknown,
    )
    for sentence in unread_facts(ranker, age=age is not None, sex=sex is not None):
        notice(sentence)
    left_out = None if allow_unknown else ranker.given(visits).left_out_sentence
    for said in filter(None, (left_out, ranker.unknown_codes_of(row))):
        notice(said)
    notice_all(ranker, top)
    if phenotypes:
        notice(UNCALIBRATED)
    scores, eov = scored(ranker, [row])
    (number,) = predicted_codes(ranker, [row], scores, eov, top, rules)
    return RankedExample(
        codes=ranker.ranked([row], scores, eov, top=top, rules=rules, explain=explain)[0],
        num_predicted=number,
        phenotypes={
            phenotype.name: float(ranker.phenotype_probabilities(phenotype, scores, eov)[0]) for phenotype in phenotypes
        },
    )


UNCALIBRATED = (
    "the probability of a phenotype is 1 - prod(1 - p) over its codes, too large where codes come together and "
    "too small where many true codes are no candidates; --task recalibrates it on validation patients"
)


def rank_task(
    ranker: PatientRanker,
    path: str,
    split: str,
    phenotypes: Sequence[Phenotype],
    top: int,
    batch_size: int,
    allow_unknown: bool = False,
    rules: RuleUse = "none",
    candidates: str | None = None,
    explain: bool = False,
    checkpoint: str | None = None,
) -> tuple[list[RankedExample], dict[str, dict[str, float | None]]]:
    """The patients of a split, ranked, and what `measure_phenotype` finds for each phenotype.

    Where there are phenotypes and `split` is not validation, their probabilities are recalibrated on the validation
    patients: codes that come together make 1 - prod(1 - p) too large.

    Raises UserError where the task is of another ontology, or has what the model has never seen, as
    `PatientRanker.row` does for one patient; with `allow_unknown` these are warnings (`UnfamiliarInput`). `checkpoint`:
    where the ranker comes from, by which a notice counts patients whom it was trained on. `candidates`:
    for a verifier, and for nothing else, the run whose candidates it verifies.
    """
    task = load_task(path)
    if isinstance(ranker, Verifier):
        if candidates is None:
            raise UserError(NEEDS_CANDIDATES)
        ranker.use_candidates(candidates, task, sorted({split, *(["validation"] if phenotypes else [])}))
    elif candidates is not None:
        raise UserError(
            "--candidates is for checkpoints of `rank/train.py --candidates`; this one ranks all codes itself"
        )
    _require_same_ontology(ranker, task, allow_unknown)
    notice_all(ranker, top)
    overlap = None if checkpoint is None else trained_on_sentence(checkpoint, task.splits[split]["patient_id"])
    if overlap is not None:
        notice(overlap)
    if ranker.reads_past_notes and not task.has_past_notes:
        notice(f"the model reads notes of past visits, and {path} has none: ranking by codes alone")
    ranker.add_definitions(task.all_definitions)
    rows = _rows(ranker, task, split)
    histories = [visit["codes"] for row in rows for visit in row["history"]]
    notes = any(row["text"] for row in rows)
    require_seen(ranker.reader, history=any(histories), note=notes, allow_unknown=allow_unknown)
    require_known(ranker.reader, histories, whose="the histories'", allow_unknown=allow_unknown)
    scores, eov = scored(ranker, rows, batch_size)
    calibrated: dict[str, np.ndarray] = {}
    measured = {}
    validation = None
    for phenotype in phenotypes:
        probabilities = ranker.phenotype_probabilities(phenotype, scores, eov)
        if split != "validation":
            if validation is None:
                held_out = _rows(ranker, task, "validation")
                validation = (held_out, *scored(ranker, held_out, batch_size))
            known = ranker.phenotype_probabilities(phenotype, *validation[1:])
            probabilities = Recalibration.fit(known, phenotype.is_true(validation[0]))(probabilities)
        calibrated[phenotype.name] = probabilities
        measured[phenotype.name] = measure_phenotype(probabilities, phenotype.is_true(rows), phenotype.was_known(rows))
    ranked = ranker.ranked(rows, scores, eov, top, rules, explain)
    numbers = predicted_codes(ranker, rows, scores, eov, top, rules)
    examples = [
        RankedExample(
            example_id=row["example_id"],
            codes=codes,
            num_predicted=numbers[index],
            phenotypes={name: float(probabilities[index]) for name, probabilities in calibrated.items()},
            targets=row["targets"],
        )
        for index, (row, codes) in enumerate(zip(rows, ranked, strict=True))
    ]
    return examples, measured


def scored(ranker: PatientRanker, rows: Sequence[PatientRow], batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """scores (N, C) and EOV (N,); notices say what the model does not read of the patients."""
    if ranker.events:
        _say_which_events_are_read(ranker, rows)
    unknown = ranker.reader.unknown(visit["codes"] for row in rows for visit in row["history"] or ())
    if unknown and len(rows) > 1:  # of one patient they are named
        notice(
            f"ranking: {len(unknown)} codes of the histories are not among the model's, {ranker.reads_unknown_codes}"
        )
    return ranker.score(rows, batch_size, notice)


def _say_which_events_are_read(ranker: PatientRanker, rows: Sequence[PatientRow]) -> None:
    """Notices where a model of events gets none, or some that it has no token for, as those of another task."""
    events = [event for row in rows for visit in row["history"] or () for event in visit.get("events") or ()]
    unknown = sum(event not in ranker.events for event in events)
    if not events:
        notice("the model also reads procedures, drugs or labs of past visits, and there are none: ranking without")
    elif unknown:
        notice(
            f"of {len(events):,} procedures, drugs and labs of past visits the model has no token for {unknown:,}: "
            f"ranking without them"
        )


def _rows(ranker: PatientRanker, task: Task, split: str) -> list[TaskRow]:
    """The rows of a split, their codes as the model writes them: a model of categories reads a task of full codes."""
    read = ranker.reader.read
    return [
        row
        | {
            "history": [visit | {"codes": list(map(read, visit["codes"]))} for visit in row["history"] or []],
            "targets": list(dict.fromkeys(map(read, row["targets"]))),
        }
        for row in task.splits[split]
    ]


def _require_same_ontology(ranker: PatientRanker, task: Task, allow_unknown: bool) -> None:
    """Raises UserError where the task's codes are of another ontology than the model's, and not of the one whose codes
    fall into the model's groups. Says how codes are read where the model's are coarser."""
    trained_on, ontology = ranker.trained_on, task.info.get("ontology")
    if trained_on.ontology is None or ontology is None:
        return
    if ontology not in (trained_on.ontology, GROUPED_SYSTEMS.get(trained_on.ontology)):
        refuse(
            f"{task.path} is a task of {task.info.get('edition') or ontology}, and the model was trained on "
            f"{trained_on.edition or trained_on.ontology}",
            allow_unknown,
        )
    changed = sum(ranker.reader.read(code) != code for code in task.codes)
    if changed:
        notice(f"{changed:,} of the task's {len(task.codes):,} codes are read as the model's coarser ones")


def unread_facts(ranker: PatientRanker, **given: bool) -> list[str]:
    """A sentence where an `age` or a `sex` is given and the model has met none in training."""
    unread = [name for name, is_given in given.items() if is_given and getattr(ranker.trained_on, name) is False]
    return [f"the model met no {' or '.join(unread)} in training: giving it is no help"] if unread else []


def notice_all(ranker: PatientRanker, top: int) -> None:
    if top > len(ranker.candidates):
        notice(f"the model ranks {len(ranker.candidates):,} codes: --top {top} shows all of them")


def predicted_codes(
    ranker: PatientRanker, rows: Sequence[PatientRow], scores: np.ndarray, eov: np.ndarray, top: int, rules: RuleUse
) -> list[int]:
    """How many codes of each row are predicted; a notice counts those that the first `top` do not show."""
    numbers = ranker.num_predicted(rows, scores, eov, rules)
    beyond = np.maximum(numbers - top, 0)
    if beyond.any():
        of = f" of {np.count_nonzero(beyond):,} patients" if len(rows) > 1 else ""
        notice(f"{beyond.sum():,} predicted codes{of} lie beyond the first {top}: --top {numbers.max()} shows them")
    return [int(number) for number in numbers]


def notice(sentence: str) -> None:
    warnings.warn(sentence, InputNotice, stacklevel=3)
