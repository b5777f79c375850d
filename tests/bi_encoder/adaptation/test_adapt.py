"""Continued pretraining: which notes are read, that masked tokens are guessed better, resuming, and what is refused."""

import gzip
import json

import polars as pl
import pytest
import torch
from small_encoder import make_encoder
from transformers import BertConfig, BertModel

from bi_encoder import adapt
from bi_encoder.adaptation.masked_tokens import measure, open_masked_model
from bi_encoder.adaptation.notes import read_notes, split_into_pieces
from bi_encoder.config import EncoderConfig
from bi_encoder.network.encoder import load_encoder
from mera.system.errors import UserError

NOTES = ["weak heart and swollen legs", "sugar in the kidneys", "weak kidneys and sugar", "swollen heart"] * 20


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The folder of a BERT of one layer without a head."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = make_encoder(NOTES).tokenizer
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def written(folder, name, rows=NOTES):
    path = folder / name
    lines = "".join(json.dumps({"note": text}) + "\n" for text in rows)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif name.endswith(".jsonl"):
        path.write_text(lines, encoding="utf-8")
    elif name.endswith(".parquet"):
        pl.DataFrame({"note": rows}).write_parquet(path)
    else:
        pl.DataFrame({"note": rows}).write_csv(path)
    return path


@pytest.mark.parametrize("name", ["n.jsonl", "n.jsonl.gz", "n.csv", "n.parquet"])
def test_notes_are_read_from_every_kind_of_file(tmp_path, name):
    notes = read_notes(written(tmp_path, name, ["one note", "  ", "another, longer"]), "note")
    assert notes.texts == ["one note", "another, longer"]
    assert notes.num_empty == 1


def test_files_without_notes_are_refused_by_line_and_never_quoted(tmp_path):
    path = tmp_path / "n.jsonl"
    for content, sentence in {
        '{"note": "secret"}\n{"text": "secret"}\n': r"line 2 of .*n.jsonl has no field note",
        '{"note": 7}\n': r"line 1 of .*n.jsonl has no text in note, but int",
        "secret\n": r"line 1 of .*n.jsonl is no JSON",
        '{"note": "secret"}\n{"note": ""}\n': r"has 1 rows with a text in note, of 2; an adaptation needs at least 2",
    }.items():
        path.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=sentence) as raised:
            read_notes(path, "note")
        assert "secret" not in str(raised.value)


def test_held_out_notes_are_whole_and_share_no_piece_with_training(encoder):
    _, tokenizer = open_masked_model(str(encoder))
    texts = [f"weak heart {number} " * 8 for number in range(10)]
    pieces = split_into_pieces(texts, tokenizer, 12, 0.2, seed=3)
    assert max(map(len, pieces.training + pieces.held_out)) <= 12
    whole = split_into_pieces(texts, tokenizer, 12, 0.0001, seed=3)
    assert 0 < len(whole.held_out) < len(pieces.held_out)
    assert sorted(pieces.training + pieces.held_out) == sorted(whole.training + whole.held_out)


def test_an_adaptation_guesses_better_and_its_folder_is_an_encoder(encoder, tmp_path, monkeypatch, capsys):
    notes = written(tmp_path, "n.jsonl")
    options = ["--notes", notes, "--column", "note", "--pretrained", encoder, "--output", tmp_path / "run"]
    options += ["--held_out", "0.2", "--training.epochs", "6", "--training.learning_rate", "0.01"]
    monkeypatch.setattr("sys.argv", ["adapt.py", *map(str, options)])
    adapt.main()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["after"]["accuracy"] > metrics["before"]["accuracy"] + 0.2
    assert metrics["after"]["perplexity"] < metrics["before"]["perplexity"] / 2
    assert metrics["before"]["tokens"] == metrics["after"]["tokens"] > 0
    assert "before: masked tokens guessed" in capsys.readouterr().out
    opened = load_encoder(EncoderConfig(pretrained=str(tmp_path / "run" / "encoder"), max_query_tokens=64), [])
    assert opened.get_embedding_dimension() == 32
    with pytest.raises(UserError, match="already exists"):
        adapt.main()


def test_two_measurements_mask_the_same_tokens(encoder):
    model, tokenizer = open_masked_model(str(encoder))
    pieces = split_into_pieces(NOTES, tokenizer, 12, 0.5, seed=0).held_out
    state = torch.get_rng_state()
    first, second = (measure(model, tokenizer, pieces, 0.2, 8) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_that_is_no_encoder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot load the encoder"):
        open_masked_model(str(tmp_path))
