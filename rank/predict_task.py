"""Ranking with a checkpoint, as `mera predict` does it: one patient from the command line, or a split of a task."""

import sys
from collections.abc import Sequence

import numpy as np

from data.task import load_task
from rank.phenotypes import Phenotype, Recalibration, measure_phenotype
from rank.predict import Ranker
from rank.ranked_files import RankedExample


def rank_patient(
    ranker: Ranker,
    history: str,
    days: str | None,
    phenotypes: Sequence[Phenotype],
    *,
    top: int,
    age: int | None,
    sex: str | None,
    text: str | None,
) -> RankedExample:
    """`history`: `428.0,401.9;584.9`, oldest visit first; `days`: `120;14`. Raises ValueError on what is neither.

    Codes that the model does not have are named on stderr and read as plain text.
    """
    visits = [visit.split(",") for visit in history.split(";") if visit.strip()]
    codes = [[code.strip().upper() for code in visit if code.strip()] for visit in visits]
    unknown = sorted({code for visit in codes for code in visit} - set(ranker.definitions))
    if unknown:
        print(f"not among the model's codes, read as plain text: {', '.join(unknown)}", file=sys.stderr)
    row = ranker.row(codes, days_before=_days(days) if days else None, age=age, sex=sex, text=text)
    scores, eov = ranker.score([row])
    return RankedExample(
        codes=ranker.ranked([row], scores, eov, top=top)[0],
        phenotypes={
            phenotype.name: float(ranker.phenotype_probabilities(phenotype, scores, eov)[0]) for phenotype in phenotypes
        },
    )


def rank_task(
    ranker: Ranker, path: str, split: str, phenotypes: Sequence[Phenotype], top: int, batch_size: int
) -> tuple[list[RankedExample], dict[str, dict[str, float | None]]]:
    """The patients of a split, ranked, and what `measure_phenotype` finds for each phenotype.

    Where there are phenotypes and `split` is not validation, their probabilities are recalibrated on the validation
    patients: codes that come together make 1 - prod(1 - p) too large.
    """
    task = load_task(path)
    if ranker.prompt.past_note_tokens and not task.has_past_notes:
        print(f"the model reads notes of past visits, and {path} has none: ranking by codes alone", file=sys.stderr)
    ranker.add_definitions(task.all_definitions)
    rows = list(task.splits[split])
    scores, eov = ranker.score(rows, batch_size)
    found: dict[str, np.ndarray] = {}
    measured = {}
    validation = None
    for phenotype in phenotypes:
        probabilities = ranker.phenotype_probabilities(phenotype, scores, eov)
        if split != "validation":
            if validation is None:
                held_out = list(task.splits["validation"])
                validation = (held_out, *ranker.score(held_out, batch_size))
            known = ranker.phenotype_probabilities(phenotype, *validation[1:])
            probabilities = Recalibration.fit(known, phenotype.is_true(validation[0]))(probabilities)
        found[phenotype.name] = probabilities
        measured[phenotype.name] = measure_phenotype(probabilities, phenotype.is_true(rows), phenotype.was_known(rows))
    examples = [
        RankedExample(
            example_id=row["example_id"],
            codes=codes,
            phenotypes={name: float(probabilities[index]) for name, probabilities in found.items()},
            targets=row["targets"],
        )
        for index, (row, codes) in enumerate(zip(rows, ranker.ranked(rows, scores, eov, top), strict=True))
    ]
    return examples, measured


def _days(text: str) -> list[int]:
    try:
        return [int(day) for day in text.split(";")]
    except ValueError:
        raise ValueError(f"--days takes whole numbers separated by ;, one for each visit, got {text!r}") from None
