"""Cost: time, memory, tokens, energy, hardware."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.run_manifest import Cost, Hardware
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table, without_empty_columns
from mera.report.text import DASH

JOULES_PER_KILOWATT_HOUR = 3.6e6


def cost_part(runs: Sequence[ComparedRun]) -> Part:
    table = Table(
        name="cost",
        caption="The run that wrote the predictions, on the hardware it ran on; peaks are of one process. Times on "
        "different hardware do not compare. What no run has recorded is left out.",
        columns=[
            Column(key="seconds", label="Time", format="duration"),
            Column(key="stage_one_seconds", label="Stage one before it", format="duration"),
            Column(key="host_bytes", label="Peak memory", format="bytes"),
            Column(key="gpu_bytes", label="Peak GPU memory", format="bytes"),
            Column(key="tokens", label="Tokens trained on", format="whole"),
            Column(key="kilowatt_hours", label="Energy, kWh", format="hundredths"),
            Column(key="hardware", label="Hardware"),
            Column(key="started_at", label="Started"),
        ],
        rows=[run_row(run, _cells(run.manifest.cost, run.breakdown.stage_one_seconds)) for run in runs],
    )
    return Part(key="cost", title="Cost", tables=[without_empty_columns(table)])


def _cells(cost: Cost, stage_one_seconds: float | None) -> list[Cell]:
    """In the order of the columns."""
    energy = cost.energy_joules
    return [
        Cell(value=cost.seconds),
        Cell(value=stage_one_seconds),
        Cell(value=cost.host_bytes),
        Cell(value=cost.gpu_bytes),
        Cell(value=cost.tokens),
        Cell(value=None if energy is None else energy / JOULES_PER_KILOWATT_HOUR),
        Cell(value=hardware_in_words(cost.hardware)),
        Cell(value=cost.started_at),
    ]


def hardware_in_words(hardware: Hardware) -> str:
    """One line: the GPUs where there are any, the CPUs, the machine."""
    parts = [f"{hardware.gpus.count(name)} x {name}" for name in dict.fromkeys(hardware.gpus)]
    if hardware.cpus:
        parts.append(f"{hardware.cpus} CPUs")
    if hardware.machine:
        parts.append(hardware.machine)
    return ", ".join(parts) or DASH
