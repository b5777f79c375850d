"""The names of a code: which there are, and which it is scored by."""

from dataclasses import replace

import polars as pl
import pytest
from tiny_task import make_tiny_task

from bi_encoder.inputs.code_names import further_names, names_for_scoring
from bi_encoder.inputs.texts import key_texts
from data.task_folder.book_parts import TERM_SCHEMA

TERMS = [("I50.9", "weak heart"), ("I50.9", "Cardiac Failure"), ("I50.9", "failing"), ("E11.22", "kidneys, sugar")]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    task = make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=20)
    rows = [{"code": code, "term": term, "language": "en", "kind": "index"} for code, term in TERMS]
    return replace(task, terms=pl.DataFrame(rows, schema=TERM_SCHEMA))


def test_further_names_are_synonyms_and_terms_each_once(task):
    names = further_names(task)
    heart, kidney, sepsis = task.column["I50.9"], task.column["E11.22"], task.column["R65.20"]
    assert names["synonyms"][heart] == ["congestive heart failure", "cardiac failure"]
    assert names["terms"][heart] == ["weak heart", "failing"]
    assert (names["synonyms"][kidney], names["terms"][kidney]) == ([], ["kidneys, sugar"])
    assert names["synonyms"][sepsis] == names["terms"][sepsis] == []
    assert further_names(task, 1)["terms"][heart] == ["failing"], "the shortest"


@pytest.mark.parametrize("views", [1, 2, 3, 8])
def test_a_code_is_scored_by_its_definition_and_its_shortest_names(task, views):
    names = names_for_scoring(task, views)
    assert names.owner == sorted(names.owner)
    definitions, further = key_texts(task), further_names(task)
    for column, definition in enumerate(definitions):
        of_code = [text for text, owner in zip(names.texts, names.owner, strict=True) if owner == column]
        shortest = sorted(
            (name for names in further.values() for name in names[column]), key=lambda name: (len(name), name)
        )
        assert of_code == [definition, *shortest[: views - 1]]
    heart = [text for text, owner in zip(names.texts, names.owner, strict=True) if owner == task.column["I50.9"]]
    assert heart[1:4] == ["failing", "weak heart", "cardiac failure"][: views - 1]


@pytest.mark.parametrize(("language", "is_first"), [("es", True), ("en", False)])
def test_names_in_the_language_of_the_notes_come_first(task, language, is_first):
    """The longer name is Spanish, and so are the notes, or they are not."""
    spanish = "insuficiencia cardiaca congestiva crónica"
    notes = {"es": "Paciente con insuficiencia cardiaca", "en": "Patient with weak heart, insuficiencia"}[language]
    rows = [*task.terms.rows(), ("I50.9", spanish, "es", "name")]
    train = task.splits["train"].map(lambda row: {"text": notes})
    mixed = replace(task, splits=task.splits | {"train": train}, terms=pl.DataFrame(rows, TERM_SCHEMA, orient="row"))
    names = names_for_scoring(mixed, 2)
    heart = [text for text, owner in zip(names.texts, names.owner, strict=True) if owner == task.column["I50.9"]]
    assert heart[1] == (spanish if is_first else "failing")
    assert (further_names(mixed, 1)["terms"][task.column["I50.9"]] == [spanish]) is is_first
