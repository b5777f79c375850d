"""A small model under DeepSpeed: writes a checkpoint after some steps, or reads it with another number of processes.

accelerate launch --config_file launch/accelerate/ddp.yaml --num_processes 2 \\
    tests/helpers/universal_worker.py write 2 bf16 FOLDER
accelerate launch --config_file launch/accelerate/ddp.yaml --num_processes 3 \\
    tests/helpers/universal_worker.py read 2 bf16 FOLDER

Arguments: `write` or `read`, ZeRO's stage, `bf16` or `float32`, a folder. FOLDER/checkpoint is the checkpoint.
FOLDER/write.pt and read.pt have what the engine has then: by parameter its weight, float32 weight and moments, the
settings of the groups and the step counters; write-after.pt and read-after.pt the same two steps later.
"""

import sys
from pathlib import Path

import deepspeed
import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state
from safetensors.torch import save_file

from mera.training.entry_point import run_entry_point
from mera.training.private_api import load_universal, start_deepspeed_on_the_cpu
from mera.training.resume.universal import TAG, load_untrained, universal_checkpoint

STEP_ROWS = 12


class Model(torch.nn.Module):
    """A layer, one number, of which only one process has a piece, and a layer and a buffer that do not train."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 7)
        self.number = torch.nn.Parameter(torch.randn(1))
        self.frozen = torch.nn.Linear(3, 5, bias=False)
        self.frozen.weight.requires_grad_(False)
        self.register_buffer("shift", torch.randn(3))

    def forward(self, x):
        return (self.layer(self.frozen(x + self.shift.to(x.dtype))) * self.number).square().mean()


def build(stage, bf16):
    model = Model()
    groups = [
        {"params": [model.layer.weight], "lr": 0.01, "weight_decay": 0.1},
        {"params": [model.layer.bias], "lr": 0.02, "weight_decay": 0.0},
        {"params": [model.number], "lr": 0.03, "weight_decay": 0.0},
    ]
    config = {
        "train_micro_batch_size_per_gpu": STEP_ROWS // torch.distributed.get_world_size(),
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 0},
        "bf16": {"enabled": bf16},
        "zero_allow_untested_optimizer": True,
    }
    engine, *_ = deepspeed.initialize(model=model, optimizer=torch.optim.AdamW(groups), config=config)
    return engine


def contents(engine):
    tensors = {}
    if hasattr(engine.optimizer, "bit16_groups"):  # ZeRO-1 and ZeRO-2 look for the moments once, before there are any
        engine.optimizer._hp_optimizer_states_linked = False
        engine.optimizer._lazy_init_hp_params_optimizer_state()
    for name, parameter in engine.module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], enabled=hasattr(parameter, "ds_id")):
            tensors[name] = parameter.detach().clone()
        if parameter.requires_grad:
            tensors[f"{name} float32"] = safe_get_full_fp32_param(parameter)
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{name} {moment}"] = safe_get_full_optimizer_state(parameter, moment)
    tensors |= dict(engine.module.named_buffers())
    optimizer = engine.optimizer.optimizer
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    steps = [float(state["step"]) for state in optimizer.state.values() if "step" in state]
    return {"tensors": tensors, "settings": settings, "steps": steps}


def train(engine, steps):
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(STEP_ROWS, 3, generator=generator).chunk(size)[rank]
        engine.backward(engine(x.to(next(engine.module.parameters()).dtype)))
        engine.step()


def main():
    what, stage, precision, folder = sys.argv[1:]
    start_deepspeed_on_the_cpu()
    torch.manual_seed(0 if what == "write" else 1)
    engine = build(int(stage), precision == "bf16")
    checkpoint, first = Path(folder) / "checkpoint", torch.distributed.get_rank() == 0
    if what == "write":
        train(engine, 3)
        engine.save_checkpoint(str(checkpoint))
        found = contents(engine)
        if first:
            plain = {name: tensor.contiguous() for name, tensor in found["tensors"].items() if " " not in name}
            save_file(plain, checkpoint / "model.safetensors")
    else:
        with universal_checkpoint(checkpoint, engine.device, first) as universal:
            load_universal(engine, universal, TAG)
        load_untrained(engine.module, checkpoint)
        found = contents(engine)
    if first:
        torch.save(found, Path(folder) / f"{what}.pt")
    train(engine, 2)
    found = contents(engine)
    if first:
        torch.save(found, Path(folder) / f"{what}-after.pt")


if __name__ == "__main__":
    run_entry_point(main)
