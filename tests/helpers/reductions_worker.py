"""As engine_worker.py, for three steps under DDP; writes how often gradients were reduced over the processes.

accelerate launch --config_file launch/accelerate/ddp.yaml --num_processes 2 \\
    tests/helpers/reductions_worker.py RUNS.json OUTPUT
"""

import json
import sys
from pathlib import Path

import engine_worker
from torch.distributed import group
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from transformers import TrainerCallback

from mera.training.entry_point import run_entry_point

STEPS = 3


class CountReductions(TrainerCallback):
    def __init__(self, trainer):
        self.trainer, self.buckets, self.batches = trainer, 0, 0

    def on_train_begin(self, *_, **__):
        self.trainer.model_wrapped.register_comm_hook(self, reduce_and_count)

    def on_substep_end(self, *_, **__):
        self.batches += 1

    def on_step_end(self, *_, **__):
        self.batches += 1


def reduce_and_count(counter, bucket):
    counter.buckets += bucket.is_last()
    return allreduce_hook(group.WORLD, bucket)


def some_steps(trainer, run, settings):
    counter = CountReductions(trainer)
    trainer.add_callback(counter)
    trainer.args.max_steps = STEPS
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.load_best_model_at_end = False
    trainer.resume_and_train(run, settings.training)
    counts = {"steps": trainer.state.global_step, "batches": counter.batches, "reductions": counter.buckets}
    if trainer.is_world_process_zero():
        name = run.final.name
        (Path(sys.argv[2]) / f"{name}-reductions.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    engine_worker.some_steps = some_steps
    engine_worker.save_checkpoint = lambda *_: None
    run_entry_point(engine_worker.main)
