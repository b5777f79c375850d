"""The parts of a prepared task of three codes, to save or to damage."""

import polars as pl

from data.task import LEVELS

CODES = ["E11.9", "I10", "I50.9"]


def row(patient, targets=("I10",), history=(("E11.9",),)):
    visits = [{"codes": list(codes), "days_before": 30} for codes in history]
    return {
        "example_id": f"{patient}:1",
        "patient_id": patient,
        "age": 60,
        "sex": "F",
        "history": visits,
        "text": None,
        "targets": list(targets),
        "evidence": [],
    }


def code_frame(codes=CODES):
    return pl.DataFrame(
        {
            "code": codes,
            "definition": [f"definition of {code}" for code in codes],
            "synonyms": [["another name"] if code == "I10" else [] for code in codes],
            **{level: ["all" if level == "all" else code[:3] for code in codes] for level in LEVELS},
        },
        schema_overrides={"synonyms": pl.List(pl.String)},
    )


GROUPS = pl.DataFrame({"level": ["all", "category"], "group": ["all", "I10"], "name": ["everything", "pressure"]})


def splits(**changed):
    return {"train": [row("a"), row("b", ("I10", "I50.9"))], "validation": [row("c")], "test": [row("d")]} | changed
