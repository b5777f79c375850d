"""One process, DDP, ZeRO and FSDP2 train alike: the losses of 20 steps, and the checkpoints that come out."""

import json
import os

import numpy as np
import pytest
from ready_python import run_ready
from safetensors.numpy import load_file
from small_model import ARCHITECTURE, OWN_HEAD, SMALL_T5
from tiny_task import make_tiny_task
from torch.cuda import device_count
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from mera.root import ROOT
from mera.training.engine import prepare_engine

LAUNCH_FILES = ROOT / "launch" / "accelerate"
LORA = {
    "memorize": {"model.lora.rank": 4},
    "rank": {"model.lora.rank": 4},
    "bi_encoder": {"encoder.lora.rank": 4, "encoder.lora.dropout": 0.0},
}
STEP_EXAMPLES = 8
RESUMED_STEP_EXAMPLES = 12
FEW_QUESTIONS = {
    "questions.phrasings": 1,
    "questions.mixture.synonym_to_code": 0.5,
    "questions.mixture.code_to_group": 0,
}
"""Stage one's 75: within the steps that are run an epoch ends with a batch of 3, as it does for the other trainers."""
CACHED = {"objective.cached_gradients": True, "encoder.tokens_at_once": 200}
ZERO1, ZERO2 = (pytest.param(name, marks=pytest.mark.slow) for name in ("zero1", "zero2"))
WITH_CPU_OPTIMIZER = pytest.param("zero3_offload", marks=pytest.mark.slow)
"""DeepSpeed compiles its AdamW for the CPU first."""


def launch(engine, processes, *arguments, gpu=False):
    """Without a GPU, unless `gpu`: there everything is bf16, and what is compared here is float32."""
    command = ["-m", "accelerate.commands.launch", "--config_file", LAUNCH_FILES / f"{engine}.yaml"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})
    return run_ready([*command, "--num_processes", processes, *arguments], cwd=ROOT, env=environment)


def wanted_runs(task, batch_size, accumulation=1):
    batch = {"training.batch_size": batch_size, "training.gradient_accumulation": accumulation}
    runs = {(trainer, ""): {} for trainer in LORA}
    if accumulation == 1:
        runs |= {(trainer, "-lora"): lora | {"training.learning_rate": 5e-3} for trainer, lora in LORA.items()}
        runs["bi_encoder", "-cached"] = CACHED
        runs["rank", "-packed"] = {"packing": "always"}
    else:
        runs = {(trainer, "-accumulated"): {} for trainer in LORA}
    return [
        {
            "name": trainer + suffix,
            "trainer": trainer,
            "task": str(task.path),
            "config": batch | changes | (FEW_QUESTIONS if trainer == "memorize" else {}),
        }
        for (trainer, suffix), changes in runs.items()
    ]


def bf16_runs(task, batch_size):
    runs = [run for run in wanted_runs(task, batch_size) if run["name"] in LORA]
    in_bf16 = {"training.cpu_bf16": True}
    return [run | {"name": run["name"] + "-bf16", "config": run["config"] | in_bf16} for run in runs]


def train(folder, engine, processes, runs):
    """Losses by run name."""
    folder.mkdir(exist_ok=True)
    (folder / "runs.json").write_text(json.dumps(runs))
    done = launch(engine, processes, "tests/helpers/engine_worker.py", folder / "runs.json", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return {run["name"]: json.loads((folder / f"{run['name']}.json").read_text()) for run in runs}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """51 training examples: the last batch of each epoch has 3 of 8, for two processes with one blank."""
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "task", patients=73)


@pytest.fixture(scope="module")
def alone(task, tmp_path_factory):
    """One process: the folder, and the losses by run name."""
    folder = tmp_path_factory.mktemp("engines") / "one"
    runs = wanted_runs(task, STEP_EXAMPLES) + wanted_runs(task, 1, accumulation=STEP_EXAMPLES)
    runs += bf16_runs(task, STEP_EXAMPLES)
    return folder, train(folder, "cpu", 1, runs)


def weights(checkpoint):
    return load_file(checkpoint / "model.safetensors")


def test_accumulated_batches_equal_one_large_batch(alone):
    _, losses = alone
    for trainer in LORA:
        assert len(losses[trainer]) == 20
        np.testing.assert_allclose(losses[f"{trainer}-accumulated"], losses[trainer], atol=1e-4, rtol=0)
        assert losses[trainer][-1] < losses[trainer][0]


def test_packed_rows_change_nothing(alone):
    _, losses = alone
    np.testing.assert_allclose(losses["rank-packed"], losses["rank"], atol=1e-4, rtol=0)


def test_cached_gradients_change_nothing(alone):
    _, losses = alone
    np.testing.assert_allclose(losses["bi_encoder-cached"], losses["bi_encoder"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("trainer", LORA)
def test_bf16_on_the_cpu_rounds_and_no_more(trainer, alone):
    _, losses = alone
    found, expected = np.array(losses[f"{trainer}-bf16"]), np.array(losses[trainer])
    np.testing.assert_allclose(found, expected, rtol=0.03)
    assert (found != expected).any()


@pytest.mark.parametrize("engine", ["ddp", ZERO1, ZERO2, "zero3", "fsdp2", WITH_CPU_OPTIMIZER])
def test_two_processes_train_as_one(engine, task, alone, tmp_path):
    folder, expected = alone
    runs = wanted_runs(task, STEP_EXAMPLES // 2)
    if engine == "fsdp2":  # it has a way of its own to compute in bf16
        runs += bf16_runs(task, STEP_EXAMPLES // 2)
    found = train(tmp_path / engine, engine, 2, runs)
    assert {name.partition("-")[0] for name in found} == set(LORA)
    for name, losses in found.items():
        # A loss that is itself rounded to bf16 is off by 2e-3; FSDP2 rounds the bi-encoder's temperature with the rest.
        close = {"atol": 1e-4, "rtol": 0} if "bf16" not in name else {"rtol": 5e-3 if "bi_" in name else 1e-3}
        np.testing.assert_allclose(losses, expected[name], **close, err_msg=f"{engine} {name}")
    for name in ("memorize", "memorize-lora", "rank", "rank-lora"):
        one, two = weights(folder / name), weights(tmp_path / engine / name)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_allclose(two[key], one[key], atol=2e-3, err_msg=f"{engine} {name} {key}")
        loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path / engine / name, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert not hasattr(loaded, "peft_config")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", "zero2", "fsdp2"])
def test_two_processes_with_compiled_blocks_train_as_one_without(engine, task, alone, tmp_path):
    """By torch's own compiler: a minute or more for each trainer."""
    runs = [run for run in wanted_runs(task, STEP_EXAMPLES // 2) if run["name"] in {*LORA, "rank-lora"}]
    compiled = [run | {"config": run["config"] | {"training.compile": True}} for run in runs]
    for name, losses in train(tmp_path / engine, engine, 2, compiled).items():
        np.testing.assert_allclose(losses, alone[1][name], atol=1e-4, rtol=0, err_msg=f"{engine} {name}")


def resumed_runs(task, processes, stop_after=None):
    """All trainers, all parameters and LoRA, with groups of parameters that differ in more than their rate."""
    runs = [run for run in wanted_runs(task, RESUMED_STEP_EXAMPLES // processes) if run["name"] != "bi_encoder-cached"]
    stop = {} if stop_after is None else {"stop_after": stop_after}
    return [run | stop | {"config": run["config"] | {"training.weight_decay": 0.1}} for run in runs]


@pytest.fixture(scope="module")
def uninterrupted(task, tmp_path_factory):
    """Losses of one process that nobody stopped, by run name."""
    return train(tmp_path_factory.mktemp("uninterrupted") / "one", "cpu", 1, resumed_runs(task, 1))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", "zero1", "zero2", "zero3", "fsdp2"])
def test_two_processes_go_on_as_one_and_then_as_three(engine, task, uninterrupted, tmp_path):
    alone = "cpu" if engine == "ddp" else engine
    train(tmp_path, engine, 2, resumed_runs(task, 2, stop_after=5))
    train(tmp_path, alone, 1, resumed_runs(task, 1, stop_after=10))
    found = train(tmp_path, engine, 3, resumed_runs(task, 3))
    for name, losses in found.items():
        assert len(losses) == 20
        np.testing.assert_allclose(losses, uninterrupted[name], atol=1e-4, rtol=0, err_msg=f"{engine} {name}")
    assert not list((tmp_path / "runs").rglob(".universal")), "what was converted is removed after it was read"


def encoder_decoder_runs(task, batch_size):
    """Both stages of a T5, tied and with a head of its own, all parameters and LoRA."""
    runs = [run for run in wanted_runs(task, batch_size) if run["trainer"] != "bi_encoder"]
    kinds = {"": SMALL_T5, "-own": SMALL_T5 | OWN_HEAD | {"initializer_factor": 0.3}}
    return [
        run | {"name": run["name"] + kind, "config": run["config"] | {"model.architecture": architecture}}
        for run in runs
        for kind, architecture in kinds.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", "zero2", "zero3", "fsdp2"])
def test_two_processes_train_an_encoder_decoder_as_one(engine, task, tmp_path):
    expected = train(tmp_path / "one", "cpu", 1, encoder_decoder_runs(task, STEP_EXAMPLES))
    found = train(tmp_path / engine, engine, 2, encoder_decoder_runs(task, STEP_EXAMPLES // 2))
    for name, losses in found.items():
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(losses, expected[name], atol=1e-4, rtol=0, err_msg=f"{engine} {name}")
        one, two = weights(tmp_path / "one" / name), weights(tmp_path / engine / name)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_allclose(two[key], one[key], atol=2e-3, err_msg=f"{engine} {name} {key}")
        loaded, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / engine / name, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert not hasattr(loaded, "peft_config")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", "zero2", "zero3"])
def test_weights_in_four_bits_train_on_two_processes_as_on_one(engine, task, tmp_path):
    """What is computed with them is bf16. A layer's number of inputs must be a multiple of 64 on the CPU."""
    architecture = ARCHITECTURE | {"hidden_size": 64, "intermediate_size": 128}
    four_bits = {"model.quantization": "nf4", "model.architecture": architecture, "training.learning_rate": 2e-3}
    found = []
    for name, processes in (("cpu", 1), (engine, 2)):
        runs = [run for run in wanted_runs(task, STEP_EXAMPLES // processes) if run["name"] in ("memorize", "rank")]
        runs = [run | {"config": run["config"] | LORA[run["name"]] | four_bits} for run in runs]
        losses = train(tmp_path / name, name, processes, runs)
        found.append((losses, {run["name"]: weights(tmp_path / name / run["name"]) for run in runs}))
    (one, one_weights), (two, two_weights) = found
    for name, losses in one.items():
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(two[name], losses, rtol=1e-3, err_msg=f"{engine} {name}")
        assert one_weights[name].keys() == two_weights[name].keys()
        for key, weight in one_weights[name].items():
            np.testing.assert_allclose(two_weights[name][key], weight, atol=0.02, err_msg=f"{engine} {name} {key}")


@pytest.mark.slow
@pytest.mark.parametrize("trainer", LORA)
@pytest.mark.parametrize("engine", sorted(path.stem for path in LAUNCH_FILES.glob("*.yaml")))
def test_every_launch_file_starts_every_trainer(engine, trainer, task, tmp_path):
    """On the CPU where there is no GPU."""
    options = {"--config": f"configs/{trainer}/tiny.yaml", "--task": task.path, "--output": tmp_path / "run"}
    options |= {"--training.batch_size": 4}
    if trainer == "rank":
        options |= {"--model.base": "null", "--model.architecture": json.dumps(ARCHITECTURE)}
    words = [word for option in options.items() for word in option]
    processes = 1 if engine in ("cpu", "single_gpu") else 2
    done = launch(engine, processes, f"{trainer}/train.py", *words, "--dry-run", gpu=processes <= device_count())
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"dry run: 2 steps of {4 * processes} examples and a small evaluation" in done.stdout


def test_a_recipe_for_gpus_is_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert prepare_engine() is False
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"


@pytest.mark.parametrize(("told", "expected"), [("true", False), ("True", False), ("false", True), (None, True)])
def test_a_launch_file_for_the_cpu_leaves_a_gpu_alone(monkeypatch, told, expected):
    """accelerate says so in the environment; the Trainer would put its batches onto the GPU all the same."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    if told is not None:
        monkeypatch.setenv("ACCELERATE_USE_CPU", told)
    assert prepare_engine() is expected
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == ("bf16" if expected else "no")


@pytest.mark.parametrize("knows", [True, False])
def test_bf16_on_the_cpu_needs_a_processor_that_has_it(knows, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("mera.training.engine.multiplies_bfloat16", lambda: knows)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert prepare_engine(cpu_bf16=True) is False
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == ("bf16" if knows else "no")
    assert ("computes in float32" in capsys.readouterr().err) != knows
    prepare_engine()
    assert not capsys.readouterr().err


def test_bf16_on_the_cpu_is_not_for_deepspeed(monkeypatch):
    monkeypatch.setattr("mera.training.engine.multiplies_bfloat16", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ValueError, match=r"training.cpu_bf16 is not for DeepSpeed on the CPU; set it to false"):
        prepare_engine(cpu_bf16=True)
