"""An examination in the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mera.doctor.examination import Examination
from mera.doctor.step_estimate import StepEstimate
from mera.training.steps import raised_epochs

GIB = 2**30
PURPOSES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations of the longest batch",
    "buffers": "communication buffers, weights gathered",
}


def print_examination(examination: Examination, console: Console) -> None:
    """What will happen, then what is missing."""
    versions = ", ".join(f"{name} {version}" for name, version in examination.versions.items())
    console.print(f"found: {examination.accelerators}; {versions}", highlight=False, soft_wrap=True)
    if examination.estimate is not None:
        _print_plan(examination, console)
    if examination.too_few_steps is not None:
        console.print(Text("too short", "bold yellow") + f": {examination.too_few_steps}", soft_wrap=True)
    for sentence in examination.missing:
        console.print(Text("missing", "bold red") + f": {sentence}", soft_wrap=True)
    if not examination.missing:
        console.print(Text("nothing is missing", "bold green"))


def _print_plan(examination: Examination, console: Console) -> None:
    plan, engine = examination.estimate, examination.engine
    disk, peak = examination.checkpoint_bytes, examination.peak_bytes
    assert plan is not None, "printed where there is one"
    assert disk is not None, "comes with an estimate"
    assert peak is not None, "comes with an estimate"
    batch = " x ".join(f"{size:,}" for size in plan.batch_shape)
    count = f"{engine.processes} process{'es' if engine.processes > 1 else ''}"
    started = engine.name if engine.name == "one process" else f"{engine.name}, {count}"
    run_steps = f"{examination.run_steps:,} in all{_raised(plan, engine.processes)}"
    lines = {
        "stage": f"{examination.stage}, {started}",
        "model": f"{plan.parameters:,} parameters, {plan.trainable:,} of them trained",
        "data": f"{plan.examples:,} examples, about {plan.epoch_tokens:,} tokens an epoch (with padding)",
        "steps": f"{run_steps}; the longest batch of one process: {batch} tokens",
        "disk for checkpoints": _size(disk),
    }
    for name, text in lines.items():
        console.print(f"{name}: {text}", highlight=False, soft_wrap=True)
    device = "the CPU process" if engine.on_cpu else "a GPU"
    table = Table("", "memory", title=f"Memory of {device}")
    for purpose, label in PURPOSES.items():
        if examination.memory[purpose]:
            table.add_row(label, _size(examination.memory[purpose]))
    table.add_section()
    table.add_row("peak", _size(peak))
    if examination.memory["host"]:
        table.add_row("moved to the host's memory, all processes", _size(examination.memory["host"]))
    console.print(table)
    beside = (
        "about 0.6 GiB for Python and its libraries" if engine.on_cpu else "about 1 GiB for CUDA, and fragmentation"
    )
    console.print(f"beside it: {beside}", highlight=False)
    for sentence in examination.costs:
        console.print(sentence, highlight=False, soft_wrap=True)


def _raised(plan: StepEstimate, processes: int) -> str:
    """What training.min_steps did to the number of steps."""
    epoch_steps = -(-plan.examples // (plan.step_examples * processes))
    epochs = raised_epochs(plan.asked_epochs, epoch_steps, plan.min_steps)
    if epochs == plan.asked_epochs:
        return ""
    return f" ({epochs:g} epochs instead of {plan.asked_epochs:g}, for training.min_steps {plan.min_steps:,})"


def _size(number: int) -> str:
    return f"{number / GIB:,.2f} GiB" if number >= GIB / 10 else f"{number / 2**20:,.1f} MiB"
