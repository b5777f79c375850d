"""Which codes a task ranks, by every rule of --candidates, and what becomes of the true codes outside."""

import json

import numpy as np
import polars as pl
import pytest
from prepare_case import EVEN, accounting, assert_adds_up, dropped, every_row, note, run, split_of, write_csv
from shared_data import shared_data

from data.codes.ccs import load_ccs
from data.inspection.inspect_task import main as inspect_main
from data.ontology import load_ontology
from data.synthetic.cohort import oracle_probabilities
from data.synthetic.disease_model import DiseaseModel
from data.task import SPLITS, load_task

NAMES = ("--patient", "pid", "--visit", "vid", "--code", "dx", "--code-system", "icd10")
PATIENTS = [f"p{number:02d}" for number in range(12)]
NONE_OUTSIDE = {"examples": 0, "targets": 0, "codes": 0}


def prepare(tmp_path, name, *options, extra=None, visits=(("I10", "E11.9"), ("I10", "I50.9")), patients=PATIENTS):
    """A table in which everybody has `visits`, and patient -> visit -> more codes in `extra`."""
    rows = [["pid", "vid", "dx"]]
    for patient in patients:
        for number, codes in enumerate(visits):
            more = (extra or {}).get(patient, {}).get(number, ())
            rows += [[patient, number, code] for code in (*codes, *more)]
    source = write_csv(tmp_path / f"{name}.csv", rows)
    protocol = () if "--protocol" in options else EVEN
    return run("table", "--input", source, *NAMES, "--output", tmp_path / name, *protocol, *options)


def one_of_each(tmp_path):
    """A patient of train, validation and test; the split depends on the ids alone."""
    (task,) = prepare(tmp_path, "whose")
    of = split_of(task)
    return tuple(next(patient for patient in PATIENTS if of[patient] == name) for name in SPLITS)


@pytest.fixture
def with_codes_of_one_split(tmp_path):
    """Codes that only train, only validation, and only test hold, in histories and as targets."""
    train, validation, test = one_of_each(tmp_path)
    return {
        train: {0: ["N17.9"]},
        validation: {1: ["J18.9"]},
        test: {0: ["M54.51"], 1: ["M54.51", "K21.9", "F32.A"]},
    }


def test_the_default_leaves_out_what_only_test_knows(tmp_path, with_codes_of_one_split, capsys):
    (task,) = prepare(tmp_path, "t", extra=with_codes_of_one_split)
    test = list(with_codes_of_one_split)[2]
    assert task.candidates_rule == task.info["candidates_rule"] == {"name": "train"}
    assert task.codes == ["E11.9", "I10", "I50.9", "J18.9", "N17.9"], "histories and targets of train and validation"
    assert task.info["candidates"] == 5
    others = task.other_code_table
    assert others["code"].to_list() == ["F32.A", "K21.9", "M54.51"]
    assert others.schema == task.code_table.schema
    assert others.equals(pl.read_parquet(task.path / "other_codes.parquet"))
    row = next(row for row in every_row(task) if row["patient_id"] == test)
    assert set(row["targets"]) == {"I10", "I50.9", "M54.51", "K21.9", "F32.A"}, "the truth keeps them"
    assert set(row["history"][0]["codes"]) == {"I10", "E11.9", "M54.51"}
    place = list(task.splits["test"]["patient_id"]).index(test)
    assert task.targets("test").shape == task.seen("test").shape == (3, 5)
    assert [task.codes[column] for column in np.flatnonzero(task.targets("test")[place])] == ["I10", "I50.9"]
    assert [task.codes[column] for column in np.flatnonzero(task.seen("test")[place])] == ["E11.9", "I10"]
    assert task.target_columns("test")[place] == [1, 2]
    assert task.info["outside_candidates"] == {
        "train": NONE_OUTSIDE,
        "validation": NONE_OUTSIDE,
        "test": {"examples": 1, "targets": 3, "codes": 3},
    }
    assert task.info["counts"]["test"]["targets"] == 9
    ontology = load_ontology("icd10cm")
    for code in ("I10", "K21.9"):
        assert task.definition(code) == ontology.definition(code) == task.all_definitions[code]
    with pytest.raises(KeyError, match="Z99"):
        task.definition("Z99")
    assert task.group_names["category"]["K21"], "groups of the other codes have names as well"
    assert_adds_up(task)
    said = " ".join(capsys.readouterr().out.split())
    assert "5 candidate codes" in said
    assert "candidates: the codes of train and validation" in said
    line = "test: 3 of 9 true codes (3 different), in 1 of 3 examples, are no candidates and count as missed"
    assert line in said
    inspect_main([str(task.path)])
    assert line in " ".join(capsys.readouterr().out.split())


def test_all_takes_what_occurs_anywhere(tmp_path, with_codes_of_one_split):
    (train,) = prepare(tmp_path, "t", extra=with_codes_of_one_split)
    (task,) = prepare(tmp_path, "a", "--candidates", "all", extra=with_codes_of_one_split)
    assert task.codes == ["E11.9", "F32.A", "I10", "I50.9", "J18.9", "K21.9", "M54.51", "N17.9"]
    assert task.info["candidates_rule"] == {"name": "all"}
    assert task.other_code_table.is_empty()
    assert task.other_code_table.schema == task.code_table.schema
    assert not (task.path / "other_codes.parquet").exists()
    assert task.info["outside_candidates"] == dict.fromkeys(SPLITS, NONE_OUTSIDE)
    assert every_row(task) == every_row(train), "the rule changes no row"
    assert task.fingerprint != train.fingerprint


def test_other_codes_are_part_of_the_fingerprint(tmp_path, with_codes_of_one_split, monkeypatch):
    (first,) = prepare(tmp_path, "t", extra=with_codes_of_one_split)
    monkeypatch.setattr(
        type(load_ontology("icd10cm")), "synonyms", lambda self, code: ["new"] if code == "F32.A" else []
    )
    (second,) = prepare(tmp_path, "u", extra=with_codes_of_one_split)
    assert second.fingerprint != first.fingerprint


def test_ontology_takes_every_leaf_and_what_train_has_besides(tmp_path):
    train, _, test = one_of_each(tmp_path)
    # I50 and I49 have codes below them.
    extra = {train: {0: ["I50"]}, test: {1: ["I49", "K21.9"]}}
    (task,) = prepare(tmp_path, "t", "--candidates", "ontology", extra=extra)
    assert set(task.codes) == {*load_ontology("icd10cm").leaves(), "I50"}
    assert task.codes == sorted(task.codes)
    assert task.other_code_table["code"].to_list() == ["I49"]
    assert task.info["outside_candidates"]["test"] == {"examples": 1, "targets": 1, "codes": 1}
    (coarse,) = prepare(tmp_path, "c", "--candidates", "ontology", "--granularity", "category", extra=extra)
    assert len(coarse.codes) == len({code[:3] for code in task.codes})
    assert all(len(code) == 3 for code in coarse.codes)
    assert coarse.other_code_table.is_empty()
    (groups,) = prepare(tmp_path, "g", "--candidates", "ontology", "--granularity", "ccs", extra=extra)
    assert groups.codes == sorted(load_ccs("icd10cm").leaves())
    assert groups.info["candidates_rule"] == {"name": "ontology"}


def test_no_heading_passes_for_a_leaf():
    leaves = load_ontology("icd10cm").leaves()
    assert [code for code in leaves if "-" in code] == []
    assert len(leaves) == 74_719


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("codes.txt", "\ufeffi10\n\nE119\nK21.9 \nI10\n"),
        ("codes", "I10\r\nE11.9\r\nK21.9\r\nI10"),
        ("codes.csv", "name,code\npressure,I10\nsugar,E119\nreflux,k21.9\npressure,I10\n"),
        ("codes.csv.gz", "code\nI10\nE119\nk21.9\nI10\n"),
        ("codes.parquet", None),
    ],
)
def test_a_file_names_the_candidates(tmp_path, name, content, capsys):
    path = tmp_path / name
    if content is None:
        pl.DataFrame({"code": ["I10", "E119", "K21.9", "I10", None]}).write_parquet(path)
    elif name.endswith(".gz"):
        write_csv(path, [[line] for line in content.splitlines()])
    else:
        path.write_bytes(content.encode())
    (task,) = prepare(tmp_path, "t", "--candidates", path)
    assert task.codes == ["E11.9", "I10", "K21.9"]
    assert task.info["candidates_rule"] == {
        "name": "file",
        "file": name,
        "repeated_in_file": 1,
        "training_examples_dropped": 0,
    }
    assert name in task.info["inputs"], "its sha256 is kept as of every input"
    assert str(tmp_path) not in json.dumps(task.info)
    assert task.other_code_table["code"].to_list() == ["I50.9"]
    assert task.other_code_table["train_count"].to_list() == [6]
    said = " ".join(capsys.readouterr().out.split())
    assert f"candidates: the list in {name}" in said
    assert "1 entries of the file repeat a candidate" in said
    assert "train: 6 of 12 true codes (1 different), in 6 of 6 examples, are no candidates and not trained on" in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", "I10\nnonsense\n\nE11.9\nX\n", r"holds 2 entries that are no code of ICD-10-CM .* \(line 2, 5\)"),
        (
            "l.csv",
            "code\nI10\nnonsense\n",
            r"holds 1 entries that are no code of .* \(line 3\); correct or remove them",
        ),
        ("l.csv", "code\nI10\n\nnonsense\n", r"\(row 2\); correct or remove them"),
        ("l.txt", "\n".join(["bad"] * 12), r"holds 12 entries .* \(line 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more\)"),
        ("l.txt", "code\n", "holds no code; --candidates FILE takes one a line, or a column named code"),
        ("l.txt", " \n", "is empty"),
        ("l.csv", "codes,x\nI10,1\n", "has no column code"),
        (
            "l.txt",
            "N18.6\n",
            r"no training example has one of the 1 codes of .*l\.txt to predict; is it the right list",
        ),
    ],
)
def test_a_file_that_is_no_list_of_codes_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        prepare(tmp_path, "t", "--candidates", path)
    assert "nonsense" not in str(raised.value)
    assert not (tmp_path / "t").exists()


def test_codes_stored_as_numbers_and_missing_files_are_refused(tmp_path):
    pl.DataFrame({"code": [4019, 42731]}).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(ValueError, match="the column code holds numbers, which have lost zeros; export it as text"):
        prepare(tmp_path, "t", "--candidates", tmp_path / "l.parquet")
    with pytest.raises(ValueError, match=r"--candidates takes train, ontology, all or a file with codes; there is no"):
        prepare(tmp_path, "t", "--candidates", "trian")


def test_a_file_may_name_groups_or_what_is_below_them(tmp_path):
    path = tmp_path / "l.txt"
    path.write_text("I10\nI50.9\nE11.65\n")
    (task,) = prepare(tmp_path, "c", "--granularity", "category", "--candidates", path)
    assert task.codes == ["E11", "I10", "I50"]
    path.write_text("cir007\nI50.9\n")
    (task,) = prepare(tmp_path, "g", "--granularity", "ccs", "--candidates", path)
    assert task.codes == ["CIR007", "CIR019"]
    path.write_text("I50.79\nE11.9\n")
    (task,) = prepare(tmp_path, "u", "--granularity", "category", "--candidates", path)
    assert task.codes == ["E11", "I50"], "a code that only its category knows, as in rows"
    assert task.info["candidates_rule"]["changed_in_file"] == 1
    path.write_text("CIR999\n")
    with pytest.raises(ValueError, match=r"1 entries that are no code of CCSR"):
        prepare(tmp_path, "h", "--granularity", "ccs", "--candidates", path)


def test_training_examples_without_a_candidate_go_and_others_stay(tmp_path):
    train, validation, test = one_of_each(tmp_path)
    path = tmp_path / "l.txt"
    path.write_text("I50.9\nK21.9\n")
    others = {patient: {1: ["I50.9"]} for patient in PATIENTS if patient not in (train, validation, test)}
    visits = (("I10", "E11.9"), ("I10",))
    (task,) = prepare(tmp_path, "t", "--candidates", path, extra=others, visits=visits)
    assert task.info["counts"]["train"] == {"examples": 5, "patients": 5, "targets": 10}
    assert train not in split_of(task)
    assert task.info["candidates_rule"]["training_examples_dropped"] == 1
    assert dropped(task, "patients") == {"training example without a candidate": 1}
    assert dropped(task, "visits") == {"patient: training example without a candidate": 2}
    assert_adds_up(task)
    assert len(task.splits["validation"]) == len(task.splits["test"]) == 3, "they were not chosen by their truth"
    assert sorted(task.targets("test").sum(axis=1).tolist()) == [0, 1, 1]
    assert task.info["outside_candidates"]["train"] == {"examples": 5, "targets": 5, "codes": 1}
    assert task.info["outside_candidates"]["test"] == {"examples": 3, "targets": 3, "codes": 1}
    with pytest.raises(ValueError, match="no example of the validation split has a candidate among its targets"):
        prepare(tmp_path, "u", "--candidates", path, extra={train: {1: ["K21.9"]}}, visits=visits)


def test_a_visit_without_a_candidate_is_no_target_but_stays_history(tmp_path):
    path = tmp_path / "l.txt"
    path.write_text("I50.9\n")
    visits = (("I10", "E11.9"), ("I10",), ("I50.9",))
    (task,) = prepare(tmp_path, "t", "--candidates", path, "--every-visit", "--first-visits", visits=visits)
    assert [row["targets"] for row in task.splits["train"]] == [["I50.9"]] * 6
    assert {len(row["history"]) for row in task.splits["train"]} == {2}
    assert task.info["candidates_rule"]["training_examples_dropped"] == 12
    assert dropped(task, "patients") == dropped(task, "visits") == {}
    assert_adds_up(task)


def test_notes_without_a_candidate_do_not_train(tmp_path):
    path = tmp_path / "l.txt"
    path.write_text("I50.9\n")
    rows = [["pid", "vid", "dx", "note"]]
    for patient in PATIENTS:
        rows += [[patient, visit, code, note(patient, visit)] for visit, code in enumerate(("I50.9", "I10"))]
    source = write_csv(tmp_path / "notes.csv", rows)
    options = (*NAMES, "--text", "note", "--kind", "coding", *EVEN, "--candidates", path)
    (task,) = run("table", "--input", source, *options, "--output", tmp_path / "t")
    assert task.info["counts"]["train"] == {"examples": 6, "patients": 6, "targets": 6}
    assert task.info["candidates_rule"]["training_examples_dropped"] == 6
    assert dropped(task, "visits") == dropped(task, "notes") == {"training example without a candidate": 6}
    assert len(task.splits["test"]) == 6
    assert_adds_up(task)


def test_each_fold_has_the_codes_of_its_own_training(tmp_path):
    extra = {
        patient: {1: [code]} for patient, code in zip(PATIENTS, ["N17.9", "J18.9", "K21.9", "F32.A"], strict=False)
    }
    tasks = prepare(tmp_path, "cv", "--protocol", "kfold", "--folds", 3, extra=extra)
    for task in tasks:
        held = {code for name in ("train", "validation") for row in task.splits[name] for code in row["targets"]}
        assert task.codes == sorted(held | {"E11.9", "I10", "I50.9"})
        assert task.candidates_rule == {"name": "train"}
    assert len({tuple(task.codes) for task in tasks}) > 1
    assert sum(task.info["outside_candidates"]["test"]["targets"] for task in tasks) == 4
    same = prepare(tmp_path, "all", "--protocol", "kfold", "--folds", 3, "--candidates", "all", extra=extra)
    assert len({tuple(task.codes) for task in same}) == 1


def test_chet_and_first_visits_follow_the_rule(tmp_path):
    _, _, test = one_of_each(tmp_path)
    (chet,) = prepare(tmp_path, "chet", "--protocol", "chet", "--sizes", 6, 3, 3, extra={test: {1: ["K21.9"]}})
    assert "K21.9" in chet.codes, "each code's first patient trains"
    assert chet.other_code_table.is_empty()
    rows = [["pid", "vid", "dx"], ["single", 0, "N18.6"]]
    rows += [[patient, visit, code] for patient in PATIENTS for visit, code in ((0, "I10"), (1, "I50.9"))]
    rows.append([test, 1, "K21.9"])
    source = write_csv(tmp_path / "first.csv", rows)
    (first,) = run("table", "--input", source, *NAMES, *EVEN, "--first-visits", "--output", tmp_path / "first")
    assert first.codes == ["I10", "I50.9", "N18.6"]
    assert first.other_code_table["code"].to_list() == ["K21.9"]


def test_the_synthetic_source_has_a_list_of_its_own(tmp_path):
    options = ("synthetic", "--patients", 60, "--kind", "diagnosis")
    (own,) = run(*options, "--output", tmp_path / "own")
    assert own.codes == sorted(DiseaseModel().codes)
    assert own.candidates_rule == {"name": "source"}
    (train,) = run(*options, "--candidates", "train", "--output", tmp_path / "train")
    assert train.candidates_rule == {"name": "train"}
    assert len(train.codes) < len(own.codes)
    oracle = np.load(train.path / "oracle.npy")
    columns = [own.column[code] for code in train.codes]
    np.testing.assert_array_equal(oracle, np.load(own.path / "oracle.npy")[:, columns])


def test_the_oracle_gives_no_chance_to_a_code_that_its_model_lacks(tmp_path):
    rows = [{"history": [{"codes": ["I10"]}], "age": 60, "sex": "F"}]
    known = oracle_probabilities(rows, ["I10", "E11.9"])
    assert oracle_probabilities(rows, ["A00.0", "I10", "E11.9"]).tolist() == [[0.0, *known[0].tolist()]]


def test_an_older_task_says_what_its_candidates_were(tmp_path, with_codes_of_one_split):
    (task,) = prepare(tmp_path, "t", "--candidates", "all", extra=with_codes_of_one_split)
    info = {
        name: value
        for name, value in task.info.items()
        if name not in ("candidates_rule", "outside_candidates", "digests")
    }
    (task.path / "task.json").write_text(json.dumps(info))
    old = load_task(task.path)
    assert old.candidates_rule == {"name": "all"}
    assert old.outside_sentence("test") is None


def test_codiesp_has_codes_that_only_its_dev_set_knows(tmp_path):
    folder = shared_data("codiesp")
    (task,) = run("codiesp", "--input", folder, "--output", tmp_path / "t")
    assert len(task.codes) == 1764
    assert task.info["outside_candidates"]["test"] == {"examples": 195, "targets": 476, "codes": 426}
    assert task.info["outside_candidates"]["train"] == task.info["outside_candidates"]["validation"] == NONE_OUTSIDE
    assert accounting(task)["diagnoses"]["used"] == 5639 + 2677, "no true code is lost"
