"""An examination in the terminal."""

from rich.console import Console
from rich.table import Table

from mera.doctor.examination import Examination
from mera.training.steps import raised_epochs

GIB = 2**30
PURPOSES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations of the longest batch",
    "buffers": "communication buffers, weights gathered",
}


def print_examination(found: Examination, console: Console) -> None:
    """What will happen, then what is missing."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    console.print(f"found: {found.accelerators}; {versions}", highlight=False, soft_wrap=True)
    if found.estimate is not None:
        _print_plan(found, console)
    if found.too_few_steps is not None:
        console.print(f"[bold yellow]too short[/]: {found.too_few_steps}", highlight=False, soft_wrap=True)
    for sentence in found.missing:
        console.print(f"[bold red]missing[/]: {sentence}", highlight=False, soft_wrap=True)
    if not found.missing:
        console.print("[bold green]nothing is missing[/]", highlight=False)


def _print_plan(found: Examination, console: Console) -> None:
    plan, engine = found.estimate, found.engine
    batch = " x ".join(f"{size:,}" for size in plan["batch_shape"])
    count = f"{engine.processes} process{'es' if engine.processes > 1 else ''}"
    started = engine.name if engine.name == "one process" else f"{engine.name}, {count}"
    lines = {
        "stage": f"{found.stage}, {started}",
        "model": f"{plan['parameters']:,} parameters, {plan['trainable']:,} of them trained",
        "data": f"{plan['examples']:,} examples, about {plan['epoch_tokens']:,} tokens an epoch (with padding)",
        "steps": f"{found.run_steps:,} in all{_raised(found)}; the longest batch of one process: {batch} tokens",
        "disk for checkpoints": _size(found.checkpoint_bytes),
    }
    for name, text in lines.items():
        console.print(f"{name}: {text}", highlight=False, soft_wrap=True)
    device = "the CPU process" if engine.on_cpu else "a GPU"
    table = Table("", "memory", title=f"Memory of {device}")
    for purpose, label in PURPOSES.items():
        if found.memory[purpose]:
            table.add_row(label, _size(found.memory[purpose]))
    table.add_section()
    table.add_row("peak", _size(found.peak_bytes))
    if found.memory["host"]:
        table.add_row("moved to the host's memory, all processes", _size(found.memory["host"]))
    console.print(table)
    beside = (
        "about 0.6 GiB for Python and its libraries" if engine.on_cpu else "about 1 GiB for CUDA, and fragmentation"
    )
    console.print(f"beside it: {beside}", highlight=False)


def _raised(found: Examination) -> str:
    """What training.min_steps did to the number of steps."""
    plan = found.estimate
    epoch_steps = -(-plan["examples"] // (plan["step_examples"] * found.engine.processes))
    epochs = raised_epochs(plan["asked_epochs"], epoch_steps, plan["min_steps"])
    if epochs == plan["asked_epochs"]:
        return ""
    return f" ({epochs:g} epochs instead of {plan['asked_epochs']:g}, for training.min_steps {plan['min_steps']:,})"


def _size(number: int) -> str:
    return f"{number / GIB:,.2f} GiB" if number >= GIB / 10 else f"{number / 2**20:,.1f} MiB"
