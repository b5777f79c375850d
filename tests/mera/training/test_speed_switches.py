"""What makes a step faster or smaller changes nothing that it computes: adapters' inputs, activations on the host,
TRL's chunked loss, averages in 8 bits, gradients that are shared once a step."""

import importlib.util
import json
import os

import pytest
import torch
from engine_worker import ENCODER, LANGUAGE_MODEL, STAGES, TRAINING
from model_families import FAMILIES, tiny_model
from ready_python import run_ready
from safetensors.torch import load_file
from tiny_task import make_tiny_task
from torch._dynamo.utils import counters
from torch.cuda import device_count
from transformers import set_seed
from trl.kernels import chunked_logprob

from data.task import load_task
from mera.config import load_config
from mera.doctor.engine import Engine, memory_of_a_device
from mera.doctor.step_estimate import StepAs, estimate
from mera.language_models.activation_offloading import NO_GPU, offloaded_activations
from mera.language_models.lora import LoraSettings, add_lora, inputs_as_they_are
from mera.root import ROOT
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training import checkpoint
from mera.training.settings import NO_BITSANDBYTES, is_of_bitsandbytes, require_optimizer
from mera.training.steps import even_length

WIDE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_key_value_heads": 2}
"""Matrices of 4,096 weights or more: smaller ones keep their averages in 32 bits."""
SMALL = {"memorize": LANGUAGE_MODEL, "rank": LANGUAGE_MODEL, "bi_encoder": ENCODER}
WITHOUT_GPU = pytest.mark.skipif(device_count() > 0, reason="compares on the CPU")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "task", patients=40)


def builder(stage, task, output, wide=False, **changes):
    """`tests/helpers/engine_worker.py` trains in the same way."""
    set_seed(0)
    config_class, small, build = STAGES[stage]
    section = "encoder.architecture" if stage == "bi_encoder" else "model.architecture"
    settings = TRAINING | small | {section: small[section] | (WIDE if wide else {})}
    settings |= {"task": str(task.path), "output": str(output), "training.batch_size": 8} | changes
    config = load_config(config_class, None, settings)
    return build(load_task(str(task.path)), config, RunDirectory(config.output))


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def gradients(model, around):
    model.zero_grad()
    ids = torch.randint(1, 50, (3, 11), generator=torch.Generator().manual_seed(0))
    with around, torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
    return [loss.detach(), *(weight.grad for weight in model.parameters() if weight.grad is not None)]


def lora_in_bf16(dtype=torch.bfloat16):
    model = add_lora(tiny_model(FAMILIES["llama"], 50).to(dtype), LoraSettings(rank=4, dropout=0.0))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.linspace(-0.1, 0.1, weight.numel()).reshape(weight.shape))
    return model.train()


def input_types(model, around):
    """Of what the adapters' first matrices are given."""
    types = set()
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: types.add(inputs[0].dtype))
        for name, module in model.named_modules()
        if name.endswith("lora_A.default")
    ]
    gradients(model, around)
    for hook in hooks:
        hook.remove()
    return types


def test_adapters_take_bf16_as_it_is_and_compute_the_same_to_the_bit():
    model = lora_in_bf16()
    assert input_types(model, inputs_as_they_are(model, is_on=False)) == {torch.float32}
    assert input_types(model, inputs_as_they_are(model, is_on=True)) == {torch.bfloat16}
    plain = gradients(model, inputs_as_they_are(model, is_on=False))
    found = gradients(model, inputs_as_they_are(model, is_on=True))
    assert len(plain) > 10
    assert all(map(torch.equal, plain, found))


@WITHOUT_GPU
@pytest.mark.parametrize("recomputed", [False, True])
def test_offloaded_activations_give_the_same_gradients(recomputed, monkeypatch):
    """TRL's own pack and unpack, with the CPU in the GPU's place: copies instead of moves, without streams."""
    from trl.models import activation_offloading

    model = lora_in_bf16()
    if recomputed:
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    plain = gradients(model, torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor))
    whole = activation_offloading.get_act_offloading_ctx_manager
    moved = []

    def without_streams(model, **options):
        manager = whole(model, use_streams=False, use_pin_memory=False, min_offload_size=64, **options)
        pack = manager.pack_hook

        def counted(tensor):
            number = pack(tensor)
            moved.append(manager.tracker[number][1])
            return number

        manager.pack_hook = counted
        return manager

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "empty_cache", lambda: None, raising=False)
    monkeypatch.setattr(activation_offloading, "get_act_offloading_ctx_manager", without_streams)
    found = gradients(model, offloaded_activations(model, on_gpu=True))
    assert sum(moved) > (2 if recomputed else 20)
    assert all(map(torch.equal, plain, found))


def test_offloading_without_a_gpu_is_refused(task, tmp_path):
    with pytest.raises(UserError) as raised:
        offloaded_activations(lora_in_bf16(), on_gpu=False)
    assert str(raised.value) == NO_GPU
    if not device_count():
        train = builder("memorize", task, tmp_path / "run", **{"model.activation_offloading": True})
        with pytest.raises(UserError) as raised:
            train(tmp_path / "saved")
        assert str(raised.value) == NO_GPU


def reckoned(stage, task, output, monkeypatch, **changes):
    """The doctor's estimate, of the trainer as it would train."""
    import engine_worker

    estimates = []
    step = StepAs(precision="autocast", on_gpu=True)
    monkeypatch.setattr(engine_worker, "some_steps", lambda trainer, *_: estimates.append(estimate(trainer, step)))
    monkeypatch.setattr(engine_worker, "save_checkpoint", lambda *_: None)
    builder(stage, task, output, wide=True, **changes)(output)
    return estimates[0]


def test_the_doctor_moves_offloaded_activations_to_the_host(task, tmp_path, monkeypatch):
    lora = {"model.lora.rank": 4, "model.dtype": "bfloat16"}
    kept = reckoned("memorize", task, tmp_path / "kept", monkeypatch, **lora)
    offloads = lora | {"model.activation_offloading": True}
    moved = reckoned("memorize", task, tmp_path / "moved", monkeypatch, **offloads)
    assert kept.host_bytes == 0
    assert moved.host_bytes > 0
    # What is moved, but for what something else holds: autocast its copies of the adapters, the model its input.
    assert 0.4 * moved.host_bytes < kept.forward_bytes - moved.forward_bytes <= moved.host_bytes
    memory = memory_of_a_device(Engine(name="ddp", processes=2), moved, accumulates=False)
    assert memory["host"] == 2 * moved.host_bytes
    again = {"model.gradient_checkpointing": True}
    recomputed = reckoned("memorize", task, tmp_path / "recomputed", monkeypatch, **offloads, **again)
    assert 0 < recomputed.host_bytes < moved.host_bytes


@WITHOUT_GPU
@pytest.mark.parametrize("lora", [0, 4])
def test_stage_one_takes_trls_chunked_loss_with_and_without_lora(lora, task, tmp_path, monkeypatch):
    import engine_worker

    calls = []
    chunk = chunked_logprob._forward_tile
    monkeypatch.setattr(chunked_logprob, "_forward_tile", lambda *a, **k: calls.append(1) or chunk(*a, **k))
    monkeypatch.setattr(engine_worker, "STEPS", 2)
    whole_logits = []
    trainer = builder("memorize", task, tmp_path / "run", **{"model.lora.rank": lora})
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda *_, **__: whole_logits.append(1)
    )  # what the model's own loss computes
    trained = trainer(tmp_path / "saved")
    assert len(calls) >= 2
    assert not whole_logits
    assert trained.state.global_step == 2


@WITHOUT_GPU
@pytest.mark.parametrize("stage", STAGES)
def test_averages_in_8_bits_learn_as_much(stage, task, tmp_path):
    pytest.importorskip("bitsandbytes")
    trainers = {
        name: builder(stage, task, tmp_path / name, wide=True, **{"training.optimizer": name})(
            tmp_path / f"{name}-saved"
        )
        for name in ("adamw_torch_fused", "adamw_8bit")
    }
    plain, small = map(losses, trainers.values())
    assert small[-1] < 0.9 * small[0]
    assert small == pytest.approx(plain, rel=0.1)
    states = trainers["adamw_8bit"].optimizer.state.values()
    assert {state["state1"].dtype for state in states} >= {torch.uint8}


def test_the_doctor_counts_averages_in_8_bits(task, tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes")
    if device_count():
        pytest.skip("the optimizer's state is on the GPU")
    lora = {"model.lora.rank": 64}
    found = reckoned("rank", task, tmp_path / "reckoned", monkeypatch, **lora)
    monkeypatch.undo()
    trained = builder("rank", task, tmp_path / "run", wide=True, **lora, **{"training.optimizer": "adamw_8bit"})
    true, forget = [], checkpoint._forget_optimizer

    def count(trainer):
        states = trainer.optimizer.state.values()
        true.extend(state[name].nbytes for state in states for name in ("state1", "state2"))
        forget(trainer)

    monkeypatch.setattr(checkpoint, "_forget_optimizer", count)
    trainer = trained(tmp_path / "saved")
    assert not trainer.optimizer.state, "a model that is saved needs none"
    memory = memory_of_a_device(Engine(name="x"), found, accumulates=False, eight_bit=True)
    assert memory["optimizer"] == pytest.approx(sum(true), rel=0.05)


def test_optimizers_that_cannot_be_had_are_refused(monkeypatch):
    require_optimizer("adamw_torch_fused")
    with pytest.raises(UserError, match=r"^training\.optimizer adamw_bnb8bit is none .*: take adamw_bnb_8bit$"):
        require_optimizer("adamw_bnb8bit")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for name in ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_32bit"):
        assert is_of_bitsandbytes(name)
        with pytest.raises(UserError) as raised:
            require_optimizer(name)
        assert str(raised.value) == NO_BITSANDBYTES.format(name)
    require_optimizer("adamw_torch")


def test_gradients_are_shared_once_a_step_however_many_batches_it_has(task, tmp_path):
    runs = [
        {"name": stage, "trainer": stage, "task": str(task.path), "config": {"training.gradient_accumulation": 4}}
        for stage in STAGES
    ]
    for run in runs:
        run["config"]["training.batch_size"] = 1
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    launch = ["-m", "accelerate.commands.launch", "--config_file", ROOT / "launch/accelerate/ddp.yaml"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    worker = ["tests/helpers/reductions_worker.py", tmp_path / "runs.json", tmp_path]
    done = run_ready([*launch, "--num_processes", 2, *worker], cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    for stage in STAGES:
        counts = json.loads((tmp_path / f"{stage}-reductions.json").read_text())
        assert counts == {"steps": 3, "batches": 12, "reductions": 3}, stage


@WITHOUT_GPU
@pytest.mark.parametrize("stage", STAGES)
def test_a_compiled_run_takes_the_same_steps_on_padded_batches(stage, task, tmp_path, monkeypatch):
    import engine_worker

    from mera.language_models import compiled_blocks

    monkeypatch.setattr(compiled_blocks, "BACKEND", "eager")  # traced and put together again, without a compiler
    monkeypatch.setattr(engine_worker, "STEPS", 2)
    plain = losses(builder(stage, task, tmp_path / "plain")(tmp_path / "saved" / "plain"))
    torch._dynamo.reset()
    counters.clear()
    trainer = builder(stage, task, tmp_path / "run", **{"training.compile": True})(tmp_path / "saved" / "compiled")
    assert losses(trainer) == pytest.approx(plain, rel=1e-4)
    assert counters["stats"]["unique_graphs"] > 0
    if stage != "bi_encoder":
        batch = next(iter(trainer.get_train_dataloader()))
        assert batch["input_ids"].shape[1] == even_length(batch["input_ids"].shape[1])
        assert not any("_orig_mod" in name for name in load_file(tmp_path / "saved" / "compiled" / "model.safetensors"))


@WITHOUT_GPU
def test_a_model_in_bfloat16_trains_on_a_processor_without_instructions_for_it(task, tmp_path, monkeypatch):
    from mera.language_models.kernels import float32_products

    settings = {"model.dtype": "bfloat16", "model.lora.rank": 4}
    times, found = float32_products._times, {}
    for knows in (True, False):
        monkeypatch.setattr(float32_products, "multiplies_bfloat16", lambda knows=knows: knows)
        products = []
        monkeypatch.setattr(float32_products, "_times", lambda *a, made=products: made.append(1) or times(*a))
        found[knows] = losses(builder("memorize", task, tmp_path / str(knows), **settings)(tmp_path / "saved"))
        assert bool(products) != knows
    assert found[False] == pytest.approx(found[True], rel=1e-2)


def test_lengths_are_few_and_at_most_an_eighth_longer():
    evened = [even_length(length) for length in range(1, 1025)]
    assert evened == sorted(evened)
    assert all(length <= even <= max(length * 1.125, length + 15) for length, even in enumerate(evened, start=1))
    assert len(set(evened)) == 32
    assert {16, 128, 144, 256, 288, 1024} <= set(evened)
