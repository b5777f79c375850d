"""Without starting processes: a loss that is not a number, and which checkpoints a run may go on from."""

import json

import engine_worker
import pytest
import torch
from tiny_task import make_tiny_task

from mera.config import load_config
from mera.runs.run_directory import RunDirectory
from mera.training.resume.checkpoints import SEAL, Start, checkpoints, find_damage, newest_usable, prune, seal, start_of
from mera.training.steps import EpochSeededLengthSampler, ShareOfSteps

START = Start(engine="DDP", processes=2, batch_size=4, gradient_accumulation=1)
MODEL = {"trained": {"a.weight": [2, 3], "b": []}}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "task")


@pytest.mark.parametrize("stage", ["memorize", "rank", "bi_encoder"])
def test_a_loss_that_is_not_a_number_names_its_rows_and_is_not_saved(stage, task, tmp_path, monkeypatch):
    config_class, small, build = engine_worker.STAGES[stage]
    settings = {"task": str(task.path), "output": str(tmp_path / "run")}
    settings |= {"training.batch_size": 4, "training.save_every": 2}
    config = load_config(config_class, None, engine_worker.TRAINING | small | settings)
    seen = {}

    def poisoned_steps(trainer, run, config):
        trainer.args.max_steps, trainer.args.eval_strategy = 20, "no"
        trainer.args.load_best_model_at_end = False
        trainer.args.save_strategy = "no"
        compute_loss = type(trainer).compute_loss

        def third_is_nan(self, *positional, **named):
            loss = compute_loss(self, *positional, **named)
            return loss * torch.nan if self.state.global_step == 2 else loss

        monkeypatch.setattr(type(trainer), "compute_loss", third_is_nan)
        order = EpochSeededLengthSampler(trainer.example_lengths(), 4, config.training.seed)
        seen["rows"] = [place.row for place in list(ShareOfSteps(order, 4, 1, 0))[2]]
        seen["length"] = len(trainer.train_dataset)
        trainer.resume_and_train(run, config.training)

    monkeypatch.setattr(engine_worker, "some_steps", poisoned_steps)
    run = RunDirectory(config.output)
    with pytest.raises(ValueError, match=r"the loss is nan in step 3") as error:
        build(task, config, run)(tmp_path / "checkpoint")
    rows = ", ".join(map(str, seen["rows"]))
    assert len(seen["rows"]) == 4
    assert f"on the training rows {rows}; nothing was saved since checkpoint-2" in str(error.value)
    (kept,) = checkpoints(run.path("trainer"))
    assert find_damage(kept) is None
    assert not any(f"p{row:04d}" in str(error.value) for row in range(seen["length"]))


def made_checkpoint(folder, step, start=START):
    path = folder / f"checkpoint-{step}"
    (path / "global_step").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights of step %d" % step)
    (path / "global_step" / "shard.pt").write_bytes(b"optimizer")
    seal(path, start)
    return path


def test_the_newest_whole_checkpoint_is_found_and_damage_is_named(tmp_path, capsys):
    folder = tmp_path / "trainer"
    assert newest_usable(folder, START) is None
    paths = [made_checkpoint(folder, step) for step in (9, 10, 100, 101, 102, 103)]
    assert newest_usable(folder, START) == paths[-1]
    (paths[5] / "global_step" / "shard.pt").unlink()
    (paths[4] / "model.safetensors").write_bytes(b"short")
    (paths[3] / "model.safetensors").write_bytes(b"weights of step 999")
    (paths[2] / SEAL).write_text("{")
    (folder / "checkpoint-104").mkdir()  # without its seal it was never complete
    assert newest_usable(folder, START) == paths[1]
    warnings = capsys.readouterr().err.splitlines()
    assert [warning.partition(" is damaged ")[2] for warning in warnings] == [
        "(global_step/shard.pt is missing); trying the one before it",
        "(model.safetensors has 5 bytes instead of 19); trying the one before it",
        "(model.safetensors has other contents than were written); trying the one before it",
        f"({SEAL} cannot be read); trying the one before it",
    ]


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    for step in (2, 4, 6, 8, 10):
        made_checkpoint(tmp_path, step)
    prune(tmp_path, keep_last=2, best=str(tmp_path / "checkpoint-2"), newest_step=8)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-8", "checkpoint-6", "checkpoint-2"]


def other_start(**changes):
    settings = {"engine": "DDP", "processes": 2, "batch_size": 4, "gradient_accumulation": 1}
    return Start(**(settings | changes))


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ({}, {}),
        ({}, {"processes": 1, "batch_size": 8, "engine": "one process"}),
        ({}, {"processes": 4, "batch_size": 2}),
        ({}, {"processes": 1, "batch_size": 2, "gradient_accumulation": 4}),
        ({"engine": "FSDP2"}, {"engine": "FSDP2", "processes": 4, "batch_size": 2}),
        ({"engine": "ZeRO-2"}, {"engine": "ZeRO-2", "processes": 1, "batch_size": 8}),
        ({"engine": "ZeRO-3", **MODEL}, {"engine": "ZeRO-3", "processes": 4, "batch_size": 2, **MODEL}),
        ({}, MODEL),
    ],
)
def test_another_number_of_processes_may_go_on_where_a_step_takes_the_same_examples(written, changes, tmp_path):
    path = made_checkpoint(tmp_path / "trainer", 5, other_start(**written))
    assert newest_usable(tmp_path / "trainer", other_start(**changes)) == path


@pytest.mark.parametrize(
    ("written", "here", "sentence"),
    [
        ({}, {"processes": 4}, r"takes 16 examples here \(4 processes x batch 4 x accumulation 1\) and took 8 before"),
        ({"engine": "ZeRO-2"}, {}, r"written under ZeRO-2 and this is DDP; launch it with ZeRO-2 again, or remove"),
        ({}, {"engine": "ZeRO-3"}, r"written under DDP and this is ZeRO-3; launch it with DDP again"),
        ({"engine": "FSDP2"}, {}, r"written under FSDP2 and this is DDP; launch it with FSDP2 again"),
        (
            {"engine": "ZeRO-3"},
            {"engine": "ZeRO-3", "processes": 1, "batch_size": 8, "optimizer": "adamw_bnb_8bit"},
            r"ZeRO-3 keeps adamw_bnb_8bit in one piece for each process, 2 before and 1 here, and only AdamW can be "
            r"shared out anew; launch it with --num_processes 2 again, or remove",
        ),
        (
            {"engine": "ZeRO-2", **MODEL},
            {"engine": "ZeRO-2", "processes": 1, "batch_size": 8, "trained": {"a.weight": [2, 4], "b": []}},
            r"it is of another model: a.weight has the shape \(2, 4\) here and \(2, 3\) there; start with the model "
            r"that it was written with, or remove",
        ),
        ({"engine": "ZeRO-2", **MODEL}, {"engine": "ZeRO-2", "trained": {"a.weight": [2, 3]}}, r"b trained there and"),
        (MODEL, {"trained": {"a.lora": [1], "a.weight": [2, 3], "b": []}}, r"a.lora trains here and did not there;"),
    ],
)
def test_what_cannot_go_on_says_what_to_do(written, here, sentence, tmp_path):
    made_checkpoint(tmp_path / "trainer", 5, other_start(**written))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=sentence):
        newest_usable(tmp_path / "trainer", other_start(**here))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("engine", "processes", "converts"),
    [("ZeRO-1", 1, True), ("ZeRO-2", 3, True), ("ZeRO-3", 2, False), ("FSDP2", 1, False), ("DDP", 3, False)],
)
def test_only_another_number_of_zero_processes_needs_a_conversion(engine, processes, converts, tmp_path):
    written = start_of(made_checkpoint(tmp_path, 5, other_start(engine=engine, **MODEL)))
    assert written.trained == MODEL["trained"]
    assert other_start(engine=engine, processes=processes).shares_out_anew(written) is converts


def test_what_may_change_on_the_way_is_not_held_against_a_run(tmp_path):
    config = {"training": {"seed": 0, "batch_size": 8, "gradient_accumulation": 1, "keep_last": 2}}
    RunDirectory(tmp_path / "run").claim(config, "fingerprint")
    changed = {"training": config["training"] | {"batch_size": 4, "keep_last": 1}}
    RunDirectory(tmp_path / "run").claim(changed, "fingerprint")
    assert json.loads((tmp_path / ".run.partial" / "run.json").read_text())["training"] == {"seed": 0}
