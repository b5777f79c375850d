"""How numbers are printed: in percent with one decimal, a missing one as a dash."""

import math
from collections.abc import Mapping
from typing import Any

DASH = "—"


def percent(value: float | None, signed: bool = False) -> str:
    """`0.6123` -> `61.2`; with a sign where it is a difference."""
    if value is None:
        return DASH
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text.replace("-", "−")


def interval(estimate: Mapping[str, Any], signed: bool = False) -> str:
    """`60.1 to 62.4`, a dash where there is none."""
    if estimate["low"] is None or estimate["high"] is None:
        return DASH
    return f"{percent(estimate['low'], signed)} to {percent(estimate['high'], signed)}"


def number(value: float | None, decimals: int = 2) -> str:
    return DASH if value is None else f"{value:,.{decimals}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    if value is None:
        return f"p {DASH}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = math.floor(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(num_bytes: float | None) -> str:
    """`512 MB`, `3.2 GB`; 1 GB is 10^9 bytes."""
    if num_bytes is None:
        return DASH
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            shown = num_bytes / scale
            return f"{shown:.1f} {unit}" if shown < 10 else f"{shown:.0f} {unit}"
    return f"{num_bytes:.0f} B"


def hardware(found: Mapping[str, Any] | None) -> str:
    """One line from a manifest's `hardware`: the GPUs where there are any, else the CPUs."""
    if not found:
        return DASH
    gpus = found.get("gpus") or []
    parts = [f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)]
    if found.get("cpus"):
        parts.append(f"{found['cpus']} CPUs")
    if found.get("machine"):
        parts.append(str(found["machine"]))
    return ", ".join(parts) or DASH
