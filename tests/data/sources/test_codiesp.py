"""CodiEsp: documents, lower-case codes with stray X, splits by folder, evidence in the Spanish text."""

import re

import pytest
from prepare_case import assert_adds_up, dropped, every_row, run, split_of
from shared_data import shared_data

TEXT = "Paciente con fiebre y neumonía.\nDiabetes tipo 2 en tratamiento, sin otra cosa."


def write_corpus(folder, train=8, dev=3, test=0):
    for name, count in (("train", train), ("dev", dev), ("test", test)):
        if not count:
            continue
        for kind in ("text_files", "text_files_en"):
            (folder / name / kind).mkdir(parents=True)
        diagnoses, spans = [], []
        for number in range(count):
            document = f"S-{name}-{number}"
            text = f"{TEXT} Caso {name} {chr(97 + number) * 9} con palabras propias {chr(98 + number) * 7}."
            (folder / name / "text_files" / f"{document}.txt").write_bytes(text.encode())
            (folder / name / "text_files_en" / f"{document}.txt").write_text(f"Case {name} {chr(97 + number) * 9}.")
            start = text.index("neumonía")
            diagnoses += [f"{document}\tj18.9", f"{document}\te11.9x", f"{document}\tq99zz"]
            spans += [
                f"{document}\tDIAGNOSTICO\tj18.9\tneumonía\t{start} {start + 8}",
                f'{document}\tDIAGNOSTICO\te11.9x\tDiabetes "2"\t{text.index("Diab")} 40;{text.index("tipo")} 47',
                f"{document}\tDIAGNOSTICO\te11.9x\tnada\t5000 5010",
                f"{document}\tPROCEDIMIENTO\tbw03zzz\tRx\t0 3",
            ]
        (folder / name / f"{name}D.tsv").write_text("\n".join(diagnoses) + "\n")
        (folder / name / f"{name}X.tsv").write_text("\n".join(spans) + "\n", encoding="utf-8")
    return folder


def test_folders_are_the_splits_and_codes_lose_their_stray_x(tmp_path):
    (task,) = run("codiesp", "--input", write_corpus(tmp_path / "c"), "--output", tmp_path / "t")
    assert task.info["protocol"]["name"] == "given"
    assert task.codes == ["E11.9", "J18.9"]
    places = split_of(task)
    assert {name for name, split in places.items() if split == "test"} == {"S-dev-0", "S-dev-1", "S-dev-2"}
    assert sorted(places.values()).count("validation") == 1
    assert dropped(task, "diagnoses") == {"not a code of icd10cm": 11}
    assert task.info["unknown_codes"] == {"Q99ZZ": 11}
    assert all(row["text"].startswith("Case ") and row["evidence"] == [] for row in every_row(task))
    assert_adds_up(task)


def test_spanish_notes_have_their_evidence(tmp_path):
    folder = write_corpus(tmp_path / "c", test=3)
    (task,) = run("codiesp", "--input", folder, "--language", "es", "--output", tmp_path / "t")
    places = split_of(task)
    assert {name.split("-")[1]: split for name, split in places.items()} == {
        "train": "train",
        "dev": "validation",
        "test": "test",
    }
    for row in every_row(task):
        said = [(span["code"], row["text"][span["start"] : span["end"]]) for span in row["evidence"]]
        assert said == [("J18.9", "neumonía"), ("E11.9", "Diabetes"), ("E11.9", "tipo 2")]
    assert task.info["changed"]["evidence without a place in its text left out"] == 14


def test_a_folder_that_is_not_the_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold train/trainD.tsv and dev/devD.tsv"):
        run("codiesp", "--input", tmp_path, "--output", tmp_path / "t")
    folder = write_corpus(tmp_path / "c")
    for path in (folder / "dev" / "text_files_en").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"text_files_en holds no .txt files"):
        run("codiesp", "--input", folder, "--output", tmp_path / "t")
    (folder / "dev" / "text_files_en" / "S-dev-0.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"S-dev-0.txt is not text in UTF-8"):
        run("codiesp", "--input", folder, "--output", tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_codiesp_in_full_every_label_resolves(tmp_path):
    folder = shared_data("codiesp")
    (task,) = run("codiesp", "--input", folder, "--language", "es", "--output", tmp_path / "t", "--candidates", "all")
    assert task.info["rows_read"] == task.info["rows_used"] == 5639 + 2677
    assert task.info["unknown_codes"] == {}
    assert {name: len(task.splits[name]) for name in task.splits} == {"train": 441, "validation": 59, "test": 250}
    assert len(task.codes) == 2190
    supported = sum(len({span["code"] for span in row["evidence"]}) for row in every_row(task))
    assert supported == 8316
    row = next(row for row in every_row(task) if row["patient_id"] == "S0004-06142005000700014-1")
    said = {span["code"]: row["text"][span["start"] : span["end"]] for span in row["evidence"]}
    assert re.sub(r"\s+", " ", said["N44.8"]) == "teste derecho aumentado de tamaño"
    assert_adds_up(task)
