"""The model card: figures, base model and licence, and nothing of this machine or of a patient."""

import pytest
import yaml
from tiny_task import make_tiny_task

from memorize.code_sets.code_set import task_codes
from memorize.config import MemorizeConfig
from memorize.model_card import model_card
from mera.language_models.licences import UNKNOWN_LICENCE, base_licence
from mera.language_models.models import ModelConfig

RECALL = {
    "before": {"code_to_definition": 0.0},
    "after": {"code_to_definition": 0.996},
    "pretrained_as_text": {"code_to_definition": 0.25},
    "perplexity": {"before": 20.04, "after": 31.0},
    "ambiguous_codes": 2,
}


def card(tmp_path, **model):
    config = MemorizeConfig(task="t", output="o", replay=0.1, model=ModelConfig(**model))
    codes = task_codes(make_tiny_task(tmp_path / "task"))
    text = model_card(config, codes, RECALL)
    return yaml.safe_load(text.split("---")[1]), text


def test_the_card_has_the_figures_and_no_path(tmp_path):
    base = tmp_path / "somebody" / "base-model"
    base.mkdir(parents=True)
    (base / "README.md").write_text("---\nlicense: mit\n---\n# A model\n", encoding="utf-8")
    front, text = card(tmp_path, base=str(base))
    assert front["license"] == "mit"
    assert front["pipeline_tag"] == "text-generation"
    assert "base_model" not in front
    assert "| code to definition | 25.0% | 0.0% | 99.6% |" in text
    assert "20.0 before, 31.0 after" in text
    assert "30 of 2026, one token each" in text
    assert "10% of the training examples were general text" in text
    assert "- Base model: base-model" in text
    assert "somebody" not in text
    assert str(tmp_path) not in text


def test_a_model_from_scratch_has_no_base_licence(tmp_path):
    front, text = card(tmp_path, architecture={"model_type": "mistral"})
    assert "license" not in front
    assert "there is no base model; the weights were random" in text


@pytest.mark.parametrize("readme", [None, "# no front matter", "---\ntags: [a]\n---\n"])
def test_an_unstated_licence_is_unknown(tmp_path, readme):
    base = tmp_path / "base"
    base.mkdir()
    if readme is not None:
        (base / "README.md").write_text(readme, encoding="utf-8")
    assert base_licence(str(base)) == UNKNOWN_LICENCE
    front, text = card(tmp_path, base=str(base))
    assert "license" not in front
    assert f"Licence of the base model: {UNKNOWN_LICENCE}" in text


def test_a_packages_licence_is_read_from_its_metadata():
    assert base_licence("package:yaml") == "MIT"
    assert base_licence("package:no_such_package") == UNKNOWN_LICENCE
