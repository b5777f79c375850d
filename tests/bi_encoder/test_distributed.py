"""In-batch negatives across processes: two processes with 8 rows each train as one with 16."""

import os
import socket

import pytest
import torch
import torch.multiprocessing
from tiny_task import make_tiny_task
from transformers import set_seed

from bi_encoder.config import BiEncoderConfig
from bi_encoder.network.gather import gather_distinct, own_share
from bi_encoder.start import model_for_task, training_examples
from bi_encoder.trainer import build_trainer
from bi_encoder.validation import Validation
from data.task import load_task
from mera.config import load_config
from mera.runs.run_directory import RunDirectory

SETTINGS = {
    "variant": "laa_mrl",
    "encoder.architecture": {
        "model_type": "modernbert",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
    "encoder.tokenizer_size": 500,
    "encoder.max_query_tokens": 32,
    "encoder.window_overlap": 8,
    "encoder.training_windows": 4,
    "encoder.towers": "separate",
    "encoder.tokens_at_once": 100,
    "objective.widths": [8, 32],
    # The codes of the rows and no others, each by its definition: the same candidates however rows are shared out.
    "objective.candidates_per_step": 1,
    "objective.synonym_probability": 0.0,
}
SHARES = {"equal": [8, 8], "unequal": [10, 6]}


def step_gradients(task_path, output, slices, cached):
    """For each slice of rows the loss of one step on it, and the gradients after the engine's averaging."""
    overrides = {"task": task_path, "output": output, "objective.cached_gradients": cached}
    config = load_config(BiEncoderConfig, None, SETTINGS | overrides)
    task = load_task(task_path)
    set_seed(0)
    model = model_for_task(config, task)
    examples, validation = (
        training_examples(task, model.tokenizer, config.encoder),
        Validation(task, model.tokenizer, config),
    )
    trainer = build_trainer(model, task, examples, validation, config, RunDirectory(output))
    wrapped = trainer.accelerator.prepare_model(trainer.model)
    weights = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    found = []
    for first, last in slices:
        wrapped.zero_grad()
        loss = trainer.compute_loss(
            wrapped, trainer.data_collator([trainer.train_dataset[r] for r in range(first, last)])
        )
        loss.backward()
        found.append((loss.detach(), {name: weight.grad.clone() for name, weight in weights.items()}))
    return found


def one_of_two(rank, port, task_path, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    torch.set_num_threads(1)
    slices = [(sum(sizes[:rank]), sum(sizes[: rank + 1])) for sizes in SHARES.values()]
    for name, found in zip(SHARES, step_gradients(task_path, f"{folder}/{rank}", slices, True), strict=True):
        torch.save(found, f"{folder}/{name}-{rank}.pt")
    views = gather_distinct(torch.tensor([[3, 1, 7], [7, 2]][rank]))
    torch.save((views, own_share(views)), f"{folder}/views-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def task_path(tmp_path_factory):
    return str(make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=40).path)


@pytest.fixture(scope="module", autouse=True)
def on_the_cpu():
    """Two processes may not have a GPU each, and the gradients are compared in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        yield


@pytest.fixture(scope="module")
def two_processes(task_path, tmp_path_factory):
    """What both processes found, by name and rank."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(one_of_two, args=(port, task_path, str(folder)), nprocs=2)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@pytest.fixture(scope="module")
def one_process(task_path, tmp_path_factory):
    return step_gradients(task_path, str(tmp_path_factory.mktemp("one") / "run"), [(0, 16), (0, 8)], False)


@pytest.mark.parametrize("share", SHARES)
def test_two_processes_have_the_gradients_of_one_with_all_rows(two_processes, one_process, share):
    loss, expected = one_process[0]
    losses, gradients = zip(*(two_processes[f"{share}-{rank}"] for rank in (0, 1)), strict=True)
    assert float(sum(losses)) / 2 == pytest.approx(float(loss), rel=1e-5)
    for found in gradients:
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.allclose(found[name], gradient, atol=1e-5), name
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-2


def test_a_process_alone_has_other_gradients(two_processes, one_process):
    """The codes of the other process are missing among its negatives."""
    _, alone = one_process[1]
    _, together = two_processes["equal-0"]
    assert any(not torch.allclose(alone[name], together[name], atol=1e-3) for name in alone)


def test_views_are_distinct_and_shared_out(two_processes):
    (views, first), (same, second) = two_processes["views-0"], two_processes["views-1"]
    assert views.tolist() == same.tolist() == [1, 2, 3, 7]
    assert (first.tolist(), second.tolist()) == ([1, 2], [3, 7])
