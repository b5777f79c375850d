"""What may be asked of a trained model: codes in any form, and what is refused because the model cannot know it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from data.codes.code_table import code_table, group_table
from data.ontology import load_ontology
from data.task import SPLITS, save_task
from mera.language_models.code_tokens import EOV, add_code_tokens, marker_id, token_ids
from mera.language_models.models import ModelConfig, load_base_model
from rank.candidate_head import read_candidates_only
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.patients.code_reader import CodeReader
from rank.patients.notices import InputNotice, UnfamiliarInput
from rank.patients.patient_input import read_age, read_days, read_sex
from rank.patients.phenotypes import Phenotype
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker
from rank.task_prediction.predict_task import rank_patient, rank_task

ICD10 = TrainedOn(ontology="icd10cm", edition="ICD-10-CM 2026", granularity="full", history=True, note=False)
CATEGORIES = replace(ICD10, granularity="category")


def make_ranker(task, trained_on):
    """A model that was never trained, with the task's codes."""
    torch.manual_seed(0)
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400), task.definitions)
    tokens = add_code_tokens(model, tokenizer, dict(zip(task.codes, task.definitions, strict=True)))
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.3)
    read_candidates_only(model, token_ids(tokenizer, task.codes), marker_id(tokenizer, EOV))
    rule = DecisionRule(eov_share=0.75, offset=0.1, slope=0.8, intercept=-2.0)
    recurrence = np.zeros((len(task.codes), 3), dtype=np.float32)
    arguments = (task.codes, tokens.definitions, PromptConfig(), rule, recurrence, trained_on)
    return Ranker(model.eval(), tokenizer, *arguments)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("input") / "task")


@pytest.fixture(scope="module")
def ranker(task):
    return make_ranker(task, ICD10)


def patient(ranker, history="I10,E11.9;I10,N17.9", days=None, **more):
    arguments = {"top": 3, "age": None, "sex": None, "text": None} | more
    return rank_patient(ranker, history, days, [], **arguments)


@pytest.mark.parametrize(
    "history", ["i10,e119;i10,n179", " I10 , E11.9;i 10,N17.9 ", "I10X,E119;I10,N179", "I10,E11.9 ; I10,N17.9;"]
)
@pytest.mark.filterwarnings("error::rank.patients.notices.InputNotice", "ignore:.*predicted codes lie beyond")
def test_codes_in_any_form_rank_as_in_canonical_form(ranker, history):
    assert patient(ranker, history) == patient(ranker)
    visits = [visit.split(",") for visit in history.strip(" ;").split(";")]
    assert ranker.rank(visits, top=3) == patient(ranker).codes


def test_ages_and_days_as_pandas_writes_them(ranker):
    expected = patient(ranker, days="90;10", age=67, sex="F")
    assert patient(ranker, days="90.0; 10.0", age="67.0", sex="f") == expected
    numbers = {"days_before": [90.0, np.float64(10)], "age": np.float64(67), "sex": "female"}
    assert ranker.rank([["I10", "E11.9"], ["I10", "N17.9"]], top=3, **numbers) == expected.codes


@pytest.mark.parametrize(
    ("codes", "trained_on", "raw", "expected"),
    [
        (["428.0", "008.45", "E950.0", "V27.0", "496"], TrainedOn(ontology="icd9cm"), "4280", "428.0"),
        (["428.0", "008.45", "E950.0", "V27.0", "496"], TrainedOn(ontology="icd9cm"), "8.45", "008.45"),
        (["428.0", "008.45", "E950.0", "V27.0", "496"], TrainedOn(ontology="icd9cm"), "e9500", "E950.0"),
        (["428.0", "008.45", "E950.0", "V27.0", "496"], TrainedOn(ontology="icd9cm"), "496.0", "496"),
        (["428.0", "008.45"], TrainedOn(ontology="icd9cm"), "42.80", "42.80"),  # no code: the dot is misplaced
        (["I50", "E11"], CATEGORIES, "I50.9", "I50"),
        (["I50", "E11"], CATEGORIES, "i509", "I50"),
        (["I50", "E11"], TrainedOn(), "e1121", "E11"),  # an older checkpoint: its codes say what it is
        (["I50.9", "S03.0"], ICD10, "S03.0XXA", "S03.0XXA"),
        (["I50.9", "I50.22"], ICD10, "i5023", "I50.23"),  # of the ontology, but not the model's
        (["CCS108", "CCS049"], TrainedOn(ontology="ccs", granularity="ccs"), "428.0", "CCS108"),
        (["CCS108", "CCS049"], TrainedOn(ontology="ccs", granularity="ccs"), "ccs108", "CCS108"),
        (["CIR019"], TrainedOn(ontology="ccsr", granularity="ccs"), "I509", "CIR019"),
        (["A1.0", "A.10"], TrainedOn(ontology="national"), "A10", "A10"),  # two codes look alike without dots
        (["a1.0"], TrainedOn(ontology="national"), "A10", "a1.0"),
    ],
)
def test_forms_of_each_edition(codes, trained_on, raw, expected):
    reader = CodeReader(codes, trained_on)
    if raw == "S03.0XXA":  # the ancestor, where the package has retired the code
        expected = load_ontology("icd10cm").resolve(raw)[0]
    assert reader.read(raw) == expected


def test_every_code_is_read_without_its_dot(task):
    for trained_on in (ICD10, TrainedOn()):
        reader = CodeReader(task.codes, trained_on)
        assert [reader.read(code.replace(".", "").lower()) for code in task.codes] == task.codes


def test_a_phenotype_in_any_form(ranker):
    small, plain = Phenotype.parse("hf= i50 "), Phenotype.parse("hf=I50")
    np.testing.assert_array_equal(small.columns(ranker.candidates), plain.columns(ranker.candidates))
    with pytest.raises(ValueError, match=r"none of the model's 30 codes begins with 428; they are written like I10, "):
        Phenotype.parse("hf=428").columns(ranker.candidates)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ("428.0,401.9;584.9", r"3 of the history's 3 codes are unknown to the model: they are codes of ICD-9-CM"),
        ("428.0,401.9;I10", r"2 of the history's 3 codes are unknown .* the model's are of ICD-10-CM 2026; to go on"),
        ("I50.23,J45.901", r"they are codes of ICD-10-CM .*, but the model was not trained on them"),
        ("FOO,BAR", r"they are no codes of an edition known here"),
    ],
)
def test_a_history_that_is_mostly_unknown_is_refused(ranker, history, message, capsys):
    with pytest.raises(ValueError, match=message):
        patient(ranker, history)
    visits = [visit.split(",") for visit in history.split(";")]
    with pytest.raises(ValueError, match=message):
        ranker.rank(visits)
    with pytest.warns(UnfamiliarInput, match=message.removesuffix("; to go on")):
        assert len(patient(ranker, history, allow_unknown=True).codes) == 3
    with pytest.warns(UnfamiliarInput, match=message.removesuffix("; to go on")):
        assert ranker.rank(visits, allow_unknown=True)
    assert capsys.readouterr() == ("", "")


def test_icd10_codes_on_an_icd9_model_are_named(task):
    reader = CodeReader(["428.0", "401.9", "250.00", "V27.0"], TrainedOn())
    assert "they are codes of ICD-10-CM" in reader.why_unknown(["I50.9", "E11.9"])
    assert "the model's are of ICD-9-CM" in reader.why_unknown(["I50.9", "E11.9"])


def test_a_few_unknown_codes_are_told(ranker, capsys):
    with pytest.warns(InputNotice, match=r"not among the model's codes, read as plain text: ZZZ\.9$"):
        patient(ranker, "I10,zzz.9;N17.9")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("age", ["130", -1, "67.5", "old", float("nan"), True])
def test_an_age_that_nobody_has(ranker, age):
    with pytest.raises(ValueError, match="an age is a whole number of years from 0 to 120, got"):
        patient(ranker, age=age)
    with pytest.raises(ValueError, match="an age is a whole number of years from 0 to 120, got"):
        ranker.rank([["I10"]], age=age)
    assert (read_age(0), read_age("120.0"), read_age(None)) == (0, 120, None)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ("10;90", "days before now must not ascend, because visits are given oldest first; got 10, 90"),
        ("90;-1", "days before now are whole numbers of 0 or more, one for each visit, got -1"),
        ("90;1.5", "days before now are whole numbers of 0 or more, one for each visit, got 1.5"),
        ("1e9;3", "days before now are no more than 43,920, those of a life, got"),
        ("90", "days before now are one for each visit, oldest first: got 1 for 2 visits"),
    ],
)
def test_days_that_cannot_be(ranker, days, message):
    with pytest.raises(ValueError, match=message):
        patient(ranker, days=days)
    with pytest.raises(ValueError, match=message):
        ranker.rank([["I10"], ["I10"]], days_before=[float(day) for day in days.split(";")])
    assert read_days([9, None, 9, 0], 4) == [9, None, 9, 0]


def test_a_sex_is_read_as_in_prepare(ranker):
    assert [read_sex(word) for word in ("F", "weiblich", "male", "unknown", None)] == ["F", "F", "M", None, None]
    with pytest.raises(ValueError, match="a sex is F or M, or a word for one of them, got 'Z'"):
        patient(ranker, sex="Z")


def test_a_note_for_a_model_that_never_saw_one(ranker, task):
    with pytest.raises(ValueError, match="the model was trained without notes, so it cannot read one"):
        patient(ranker, text="Heart failure")
    with pytest.raises(ValueError, match="the model was trained without notes"):
        ranker.rank([["I10"]], text="Heart failure")
    assert patient(ranker, text="  ") == patient(ranker)
    rich = ranker.row([["I10"]], text="{\\rtf1 Heart {\\b failure}}", allow_unknown=True)
    assert rich["text"] == "Heart failure", "as tasks hold it"
    with pytest.warns(UnfamiliarInput, match="the model was trained without notes"):
        assert patient(ranker, text="Heart failure", allow_unknown=True) != patient(ranker)
    older = make_ranker(task, None)
    assert older.rank([["I10"]], text="Heart failure")  # a checkpoint that does not say what it saw


def test_a_history_for_a_model_of_notes_alone(task):
    notes_alone = make_ranker(task, replace(ICD10, history=False, note=True))
    with pytest.raises(ValueError, match="the model was trained on notes without histories"):
        patient(notes_alone)
    assert notes_alone.rank([], text="Heart failure")


@pytest.mark.parametrize("kind", ["diagnosis", "coding"])
def test_what_a_task_shows_to_a_model(tmp_path, kind):
    made = make_tiny_task(tmp_path / "task", kind=kind, patients=20)
    expected = TrainedOn(ontology="icd10cm", edition="2026", history=True, note=kind == "coding", age=True, sex=True)
    assert TrainedOn.of_task(made, PromptConfig()) == expected
    assert TrainedOn.of_task(made, PromptConfig(max_text_tokens=0)).note is False
    without = TrainedOn.of_task(made, PromptConfig(demographics=False))
    assert (without.age, without.sex) == (False, False)
    rows = {split: [row | {"history": []} for row in made.splits[split]] for split in SPLITS}
    codes = code_table(made.codes, load_ontology("icd10cm"))
    groups = group_table(codes, load_ontology("icd10cm"))
    alone = save_task(tmp_path / "alone", rows, codes, groups, {"kind": kind})
    assert TrainedOn.of_task(alone, PromptConfig()) == TrainedOn(
        history=False, note=kind == "coding", age=True, sex=True
    )


def test_a_checkpoint_says_what_it_was_trained_on_and_an_older_one_loads(ranker, tmp_path):
    ranker.save_settings(tmp_path)
    saved = json.loads((tmp_path / "ranking.json").read_text())
    assert TrainedOn.read(saved["trained_on"] | {"of a later version": 1}) == ICD10
    assert TrainedOn.read({}) == TrainedOn()


def coarser(task, path):
    """The same patients, their codes cut to categories."""

    def cut(codes):
        return list(dict.fromkeys(code[:3] for code in codes))

    rows = {
        split: [
            row
            | {
                "history": [visit | {"codes": cut(visit["codes"])} for visit in row["history"]],
                "targets": cut(row["targets"]),
            }
            for row in task.splits[split]
        ]
        for split in SPLITS
    }
    ontology = load_ontology("icd10cm")
    codes = code_table(sorted({code[:3] for code in task.codes}), ontology)
    info = {"kind": "diagnosis", "ontology": "icd10cm", "options": {"granularity": "category"}}
    return save_task(path, rows, codes, group_table(codes, ontology), info)


def test_a_task_of_full_codes_for_a_model_of_categories(task, tmp_path):
    categories = coarser(task, tmp_path / "categories")
    ranker = make_ranker(categories, TrainedOn.of_task(categories, PromptConfig()))
    with pytest.warns(InputNotice, match="codes are read as the model's coarser ones"):
        full, _ = rank_task(ranker, str(task.path), "test", [], top=5, batch_size=4)
    cut, _ = rank_task(ranker, str(categories.path), "test", [], top=5, batch_size=4)
    assert [example.codes for example in full] == [example.codes for example in cut]
    assert [example.targets for example in full] == [example.targets for example in cut]


def test_a_task_of_another_ontology_or_with_notes_is_refused(task, tmp_path):
    ranker = make_ranker(task, replace(ICD10, ontology="icd9cm", edition="ICD-9-CM 2015"))
    with pytest.raises(ValueError, match=r"a task of 2026, and the model was trained on ICD-9-CM 2015; to go on"):
        rank_task(ranker, str(task.path), "test", [], 3, 4)
    with pytest.warns(UnfamiliarInput, match="a task of 2026, and the model was trained on ICD-9-CM 2015; what"):
        assert rank_task(ranker, str(task.path), "test", [], 3, 4, allow_unknown=True)[0]
    notes = make_tiny_task(tmp_path / "notes", kind="coding", patients=20)
    with pytest.raises(ValueError, match="the model was trained without notes"):
        rank_task(make_ranker(task, ICD10), str(notes.path), "test", [], 3, 4)


def test_a_task_whose_codes_the_model_does_not_know(task, tmp_path):
    few = task.codes[:4]
    reader_of_few = make_ranker(task, ICD10)
    reader_of_few.reader = CodeReader(few, ICD10)
    with pytest.raises(ValueError, match=r"of the histories' \d+ codes are unknown to the model") as error:
        rank_task(reader_of_few, str(task.path), "test", [], 3, 4)
    assert not any(code in str(error.value).split() for code in task.codes)


def test_more_codes_than_there_are_is_said(ranker):
    with pytest.warns(InputNotice, match="the model ranks 30 codes: --top 50 shows all of them"):
        assert len(patient(ranker, top=50).codes) == 30


def test_a_folder_without_a_checkpoint_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"has no ranking.json: give a run of rank/train.py, or its checkpoint"):
        Ranker.load(tmp_path)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (["I10", "E11.9"], "visit 1 is a text"),
        ([["I10"], "E11.9"], "visit 2 is a text"),
        ([["I10"], [4280]], "visit 2 holds something else"),
        ([["I10", None]], "visit 1 holds something else"),
    ],
)
def test_a_history_is_lists_of_texts(ranker, history, message):
    with pytest.raises(ValueError, match=message):
        ranker.rank(history)


def test_blank_codes_are_none(ranker):
    assert ranker.rank([["I10", " ", ""], ["E11.9"]]) == ranker.rank([["I10"], ["E11.9"]])
    with pytest.raises(ValueError, match="nothing to rank from"):
        ranker.rank([["", " "]])


@pytest.mark.parametrize("codes", [["I50.9", "E11.9", "N17.9"], ["I50", "E11", "N17"]])
def test_an_older_checkpoint_is_of_icd10cm_though_the_who_has_its_codes_too(codes, monkeypatch):
    monkeypatch.setattr("rank.patients.code_reader.SYSTEMS", ("icd9cm", "icd10cm", "icd10who"))
    reader = CodeReader(codes, TrainedOn())
    assert reader.system == "icd10cm"
    assert reader.read("i509") == codes[0]
    assert reader.read("S03.0XXA") == ("S03.0" if "." in codes[0] else "S03")


@pytest.mark.parametrize("raw", ["i50.9", "I509", "I50", "I50.-", "I50.90", "I50.9+", " i 50.9 "])
def test_a_code_of_a_national_edition_is_in_its_category(raw):
    national = TrainedOn(ontology="codes:gm2025", edition="gm2025.csv", granularity="category")
    assert CodeReader(["I50", "E11"], national).read(raw) == "I50"


def test_what_a_national_edition_does_not_have_cannot_be_told():
    full = TrainedOn(ontology="codes:gm2025", edition="gm2025.csv", granularity="full")
    reader = CodeReader(["I50.9", "E11.90"], full)
    given = ["i509", "I50.9+", "E1190", "E11.9", "I50.90"]
    assert [reader.read(raw) for raw in given] == ["I50.9", "I50.9", "E11.90", "E11.9", "I50.90"]
    categories = replace(full, granularity="category")
    assert CodeReader(["I50"], categories).read("E11.9") == "E11.9"
    assert CodeReader(["I50"], categories).read("4280") == "4280"
