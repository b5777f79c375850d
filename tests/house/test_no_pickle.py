"""No pickle is loaded from a path a user gives, and no code that comes with a model is run."""

import ast
import json
import os
import pickle

import numpy as np
import pytest
from made_up_runs import make_runs
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from small_encoder import make_encoder
from small_model import ARCHITECTURE

from bi_encoder.config import EncoderConfig
from bi_encoder.network.encoder import load_encoder
from bi_encoder.search.search_index import open_model
from mera.language_models.models import ModelConfig, has_pickled_weights, load_base_model
from mera.report import write_report
from mera.root import ROOT

PACKAGES = ("mera", "data", "memorize", "rank", "bi_encoder")
OUR_FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def calls_of(path):
    """(dotted name, keyword -> literal value) of each call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            given = {word.arg or ast.unparse(word.value): getattr(word.value, "value", None) for word in node.keywords}
            yield ast.unparse(node.func), given


@pytest.mark.parametrize("path", OUR_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_code_loads_no_pickle_and_runs_no_foreign_code(path):
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert not names & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
    for name, given in calls_of(path):
        assert given.get("trust_remote_code") in (None, False), name
        if name == "torch.load":
            assert given.get("weights_only") is True
        if name in ("np.load", "numpy.load"):
            assert given.get("allow_pickle") is False
        if name.endswith("from_pretrained"):
            needed = (
                {"trust_remote_code"} if "Tokenizer" in name or "Config" in name else {"SAFE_LOADING", "LOCAL_LOADING"}
            )
            assert needed & set(given), name
        if name in ("SentenceTransformer", "Transformer"):
            assert path.name == "encoder.py" or "modules" in given, "open_sentence_transformer refuses pickles"


class Bomb:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def malicious(tmp_path):
    """A folder like a base model whose weights are a pickle that runs a program."""
    folder = tmp_path / "model"
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE), ["some text"])
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    return folder


def test_pickled_weights_are_refused(malicious, tmp_path):
    with pytest.raises(ValueError, match=r"its weights are pickled \(.bin\), and a pickle can run any program"):
        load_base_model(ModelConfig(base=str(malicious)), [])
    with pytest.raises(ValueError, match=r"cannot load the encoder .* its weights are pickled"):
        load_encoder(EncoderConfig(pretrained=str(malicious), max_query_tokens=16, window_overlap=4), [])
    with pytest.raises(ValueError, match=r"cannot open the encoder .* its weights are pickled"):
        open_model(str(malicious))
    assert not (tmp_path / "exploded").exists()
    pickle.loads((malicious / "pytorch_model.bin").read_bytes())
    assert (tmp_path / "exploded").exists()  # the bomb does work


def test_a_module_with_pickled_weights_is_refused(tmp_path):
    encoder = make_encoder(["some text"])
    parts = [encoder, Pooling(encoder.get_embedding_dimension(), "mean"), Dense(32, 32)]
    SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "model"), create_model_card=False)
    assert not has_pickled_weights(tmp_path / "model")
    (weights,) = (tmp_path / "model").glob("*_Dense/model.safetensors")
    weights.unlink()
    weights.with_name("pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(ValueError, match=r"cannot open the encoder .* its weights are pickled"):
        open_model(str(tmp_path / "model"))
    assert not (tmp_path / "exploded").exists()


def test_code_that_comes_with_a_model_is_refused(malicious, tmp_path):
    config = json.loads((malicious / "config.json").read_text())
    config |= {"model_type": "home-made", "auto_map": {name: "home.Made" for name in ("AutoConfig", "AutoModel")}}
    (malicious / "config.json").write_text(json.dumps(config))
    (malicious / "home.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'exploded')!r})\n")
    (malicious / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match="it needs code that comes with it, and such code is never run"):
        load_base_model(ModelConfig(base=str(malicious)), [])
    with pytest.raises(ValueError, match="it needs code that comes with it, and such code is never run"):
        load_encoder(EncoderConfig(pretrained=str(malicious), max_query_tokens=16, window_overlap=4), [])
    assert not (tmp_path / "exploded").exists()


def test_a_pickled_array_is_refused(tmp_path):
    runs = make_runs(tmp_path / "runs")
    np.save(next(runs[0].rglob("scores.npy")), np.array([Bomb(tmp_path / "exploded")], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write_report(runs[:2], tmp_path / "report")
    assert not (tmp_path / "exploded").exists()
