"""Liger's kernels, through Triton's interpreter: by value and gradient what transformers' modules compute."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from small_model import ARCHITECTURE, DEFINITIONS

from mera.language_models.kernels.liger import NO_GPU, NO_LIGER, require_liger
from mera.language_models.models import ModelConfig, load_base_model
from mera.root import ROOT
from mera.system.errors import UserError

WITH_LIGER = pytest.mark.skipif(
    importlib.util.find_spec("liger_kernel") is None or importlib.util.find_spec("triton") is None,
    reason="liger-kernel and triton are not installed (pip install liger-kernel)",
)


@pytest.fixture(scope="module")
def differences():
    """What tests/helpers/liger_worker.py measured: kind of model -> the largest differences."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(ROOT / "tests/helpers/liger_worker.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@WITH_LIGER
@pytest.mark.parametrize("kind", ["mistral-all-layers-slide", "mistral-lora-recomputed", "gemma3", "qwen3"])
def test_a_step_is_that_of_plain_modules(kind, differences):
    found = differences[kind]
    assert found["kernels"] == ["MLP", "RMSNorm", "RoPE"]
    assert found["loss"] <= 1e-5
    assert found["gradients"] <= 1e-4, found  # relative to a weight's largest one
    assert found["names_changed"] == []


@WITH_LIGER
def test_a_family_or_an_activation_that_liger_does_not_have_is_refused(differences):
    family, activation = differences["refusals"]
    assert re.match(
        r"model\.kernels liger has nothing for a model of type t5: set model\.kernels plain, or .*mistral", family
    )
    assert activation == (
        "model.kernels liger computes silu and gelu_pytorch_tanh alone, and this model's activation is relu: set "
        "model.kernels plain"
    )


def test_what_cannot_run_is_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    config = ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400, kernels="liger")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as raised:
        load_base_model(config, DEFINITIONS.values())
    assert str(raised.value) == NO_LIGER
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError) as raised:
        require_liger()
    assert str(raised.value) == NO_GPU
