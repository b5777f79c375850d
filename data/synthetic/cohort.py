"""The synthetic cohort: invented patients with real ICD-10-CM codes, and the exact probabilities behind them."""

from collections.abc import Sequence

import numpy as np

from data.cohorts.cohort import Patient, Visit
from data.synthetic.disease_model import DiseaseModel
from data.synthetic.notes import write_note
from data.task_folder.features import TaskRow
from mera.system.errors import UserError

MIN_VISITS = 2
VISIT_COUNT_SHARES = (0.3, 0.25, 0.2, 0.15, 0.1)
"""Shares of patients with 2, 3, ... visits. They do not depend on health, so that the last visit is not special."""


def synthetic_cohort(num_patients: int, seed: int, with_notes: bool = False) -> list[Patient]:
    """`num_patients` patients with 2-6 visits; the codes are the same with and without notes.

    Raises UserError where `num_patients` is not positive.
    """
    if num_patients < 1:
        raise UserError(f"--patients must be at least 1, got {num_patients}")
    model = DiseaseModel()
    generator = np.random.default_rng(seed)
    first_ages = np.clip(generator.normal(60, 17, num_patients), 18, 92).astype(np.int64)
    female = generator.random(num_patients) < 0.52
    most = MIN_VISITS + len(VISIT_COUNT_SHARES) - 1
    num_visits = generator.choice(np.arange(MIN_VISITS, most + 1), size=num_patients, p=VISIT_COUNT_SHARES)
    gaps = np.ceil(generator.lognormal(np.log(150), 0.9, (num_patients, most - 1))).astype(np.int64)
    days = np.concatenate([np.zeros((num_patients, 1), dtype=np.int64), gaps.cumsum(axis=1)], axis=1)
    ages = first_ages[:, None] + days // 365
    codes, stages, past = model.first_visit(first_ages, female, generator)
    codes_of_visit = [codes]
    for visit in range(1, most):
        codes, stages, past = model.draw_visit(stages, past, ages[:, visit], female, generator)
        codes_of_visit.append(codes)
    note_generators = np.random.default_rng([seed, 1]).spawn(num_patients)
    digits = len(str(num_patients - 1))
    return [
        Patient(
            patient_id=f"synthetic-{patient:0{digits}d}",
            sex="F" if female[patient] else "M",
            visits=tuple(
                _visit(
                    visit,
                    [model.codes[column] for column in np.flatnonzero(codes_of_visit[visit][patient])],
                    int(ages[patient, visit]),
                    int(days[patient, visit]),
                    "F" if female[patient] else "M",
                    note_generators[patient] if with_notes else None,
                )
                for visit in range(num_visits[patient])
            ),
        )
        for patient in range(num_patients)
    ]


def oracle_probabilities(rows: Sequence[TaskRow], codes: Sequence[str]) -> np.ndarray:
    """(N, C) float32: the chance of each of `codes` being among a row's targets, given its history, age and sex; 0 for
    a code that the model does not have.

    `rows` are examples of the synthetic `diagnosis` task. Only what a model is told of them is used, so no model can
    rank better in expectation.
    """
    model = DiseaseModel()
    stages, past = model.state_after([[visit["codes"] for visit in row["history"]] for row in rows])
    ages = np.array([row["age"] for row in rows])
    female = np.array([row["sex"] == "F" for row in rows])
    column = {code: index for index, code in enumerate(model.codes)}
    chances = model.code_probabilities(stages, past, ages, female)
    probabilities = np.zeros((len(rows), len(codes)), dtype=np.float32)
    known = [place for place, code in enumerate(codes) if code in column]
    probabilities[:, known] = chances[:, [column[codes[place]] for place in known]]
    return probabilities


def _visit(
    index: int, codes: list[str], age: int, day: int, sex: str, note_generator: np.random.Generator | None
) -> Visit:
    text, evidence = (None, ()) if note_generator is None else write_note(codes, age, sex, note_generator)
    return Visit(
        admission_id=str(index + 1),
        codes=tuple(codes),
        age=age,
        day=day,
        text=text,
        num_notes=int(text is not None),
        evidence=evidence,
    )
