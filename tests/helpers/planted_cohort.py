"""A prepared task in which the next visit is known: a code that is followed by another, one that returns, noise.

from planted_cohort import planted_task        (pytest puts this folder on sys.path)
"""

import random
from pathlib import Path

import polars as pl
from tiny_task import CODE_LINES, make_tiny_task

from data.task import Task, save_task

CODES = [line.split("|")[0] for line in CODE_LINES.splitlines()]
FOLLOWED_BY = dict(zip(CODES[:8], CODES[8:16], strict=True))
"""Code of a history -> the code that the next visit has because of it, and that is not yet there."""
NOISE = CODES[16:]
EVERYBODYS = NOISE[0]


def planted_task(path: Path, patients: int = 240, bare: bool = False) -> Task:
    """One of FOLLOWED_BY's codes in the last visit and its follower among the targets, nine times of ten; noise on both
    sides. `bare`: without age, sex and dates, and with a code that every visit has."""
    rng = random.Random(0)
    other = make_tiny_task(path.with_name(f"{path.name}-codes"), patients=20)
    rows = []
    for number in range(patients):
        cause = rng.choice(list(FOLLOWED_BY))
        follower = FOLLOWED_BY[cause] if rng.random() < 0.9 else rng.choice(CODES[8:16])
        earlier = [sorted(rng.sample(NOISE, 2)) for _ in range(rng.randint(0, 2))]
        visits = [*earlier, sorted({cause, *rng.sample(NOISE, 2)})]
        targets = sorted({follower, rng.choice(NOISE)})
        if bare:
            visits = [sorted({*visit, EVERYBODYS}) for visit in visits]
            targets = sorted({*targets, EVERYBODYS})
        rows.append(
            {
                "example_id": f"e{number}",
                "patient_id": f"p{number}",
                "age": None if bare or number % 9 == 0 else rng.randint(20, 90),
                "sex": None if bare or number % 7 == 0 else rng.choice("FM"),
                "history": [
                    {"codes": codes, "days_before": None if bare else 30 * (len(visits) - place)}
                    for place, codes in enumerate(visits)
                ],
                "text": None,
                "targets": targets,
                "evidence": [],
            }
        )
    held_out = patients // 5
    splits = {
        "train": rows[2 * held_out :],
        "validation": rows[:held_out],
        "test": rows[held_out : 2 * held_out],
    }
    info = dict(other.info) | {"name": "planted"}
    codes = other.code_table.drop("train_count")
    groups = [(level, group, name) for level, names in other.group_names.items() for group, name in names.items()]
    table = pl.DataFrame(groups, schema=["level", "group", "name"], orient="row")
    return save_task(path, splits, codes, table, info)
