"""How numbers are printed, in sentences and in tables: in percent with one decimal, a missing one as a dash."""

import math
from typing import Protocol

DASH = "—"


class Interval(Protocol):
    """Whatever has the ends of an interval: an estimate, a difference, a cell."""

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


def first_capital(label: str) -> str:
    """At the beginning of a sentence: `Stage two`, `Item-kNN`."""
    return label[:1].upper() + label[1:]


def percent(value: float | None, signed: bool = False) -> str:
    """`0.6123` -> `61.2`, without the percent sign, which the sentence or the column's head has; with plus or minus
    where it is a difference. Tables in the terminal print `61.2%` (`data.inspection.summary.percent`)."""
    if value is None:
        return DASH
    value = round(100 * value, 9) + 0.0  # what arithmetic leaves of a zero is one, and has no sign
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return text.replace("-", "−")


def interval(ends: Interval, signed: bool = False) -> str:
    """`60.1 to 62.4`, a dash where there is none."""
    if ends.low is None or ends.high is None:
        return DASH
    return f"{percent(ends.low, signed)} to {percent(ends.high, signed)}"


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
            scaled = num_bytes / scale
            return f"{scaled:.1f} {unit}" if scaled < 10 else f"{scaled:.0f} {unit}"
    return f"{num_bytes:.0f} B"
