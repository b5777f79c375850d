"""The audit as one HTML page: counts only, and no code of fewer than FEWEST_PATIENTS cases is named."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from data.inspection.audit.confident import PRECISION, Confident, confident_predictions
from data.inspection.audit.drift import Drift, drift_of
from data.inspection.audit.patients import Impossible, Lookalikes, impossible_records, lookalikes
from data.inspection.audit.support import Support, support_of
from data.ledger import FEWEST_PATIENTS
from data.task import Task
from mera.system.errors import UserError

LISTED = 30
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{border-bottom:1px solid #ccc;padding:.2rem .8rem;text-align:left}"
)
_KINDS = {
    "female_only": "of women, coded for a man",
    "male_only": "of men, coded for a woman",
    "newborn_only": "of newborns, coded at age 1 or more",
    "pediatric_only": "of children, coded at age 18 or more",
    "maternity_age": "of pregnancy, coded below age 9 or above 64",
    "adult_only": "of adults, coded below age 15",
}


def write_audit(task: Task, path: str | Path) -> Path:
    """Audit `task` and write the page, readable by its owner alone. Raises UserError where `path` is no .html file."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--audit must name a page with the suffix .html, got {path.name}")
    parts = [
        _support(task, support_of(task)),
        _confident(task, confident_predictions(task)),
        _lookalikes(lookalikes(task)),
        _impossible(task, impossible_records(task)),
        _drift(task, drift_of(task)),
    ]
    title = f"Label audit of {escape(task.path.name)}"
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Task {task.fingerprint[:12]}, {escape(str(task.info.get('source')))}. Counts only: places "
        "to look, no proof of an error; whether a code belongs there a coder decides.</p>"
        + "".join(parts)
        + "</html>\n"
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def _support(task: Task, support: Support | None) -> str:
    head = "<h2>Codes that no sentence speaks for</h2>"
    if support is None:
        return head + "<p>The task has no notes.</p>"
    return (
        head
        + f"<p>In {support.notes:,} notes, {_of(support.without, support.targets)} true codes share no sentence with "
        "half of one of their names. Abbreviations that no name holds, and names in another language than the note, "
        "count as silence.</p>" + _codes_table(task, support.by_code, ("true", "without a sentence"))
    )


def _confident(task: Task, confident: Confident | None) -> str:
    head = "<h2>Sure predictions that nobody coded</h2>"
    if confident is None:
        return head + "<p>No code has enough examples.</p>"
    return (
        head
        + f"<p>{confident.examples:,} examples, {confident.codes:,} codes, each predicted by a linear model that has "
        f"not seen the patient. Its surest are of each code as many as are coded in {PRECISION:.0%}: "
        f"{confident.sure:,}, of which {confident.not_coded:,} are not.</p>"
        + _codes_table(task, confident.by_code, ("sure", "not coded"))
    )


def _lookalikes(alike: Lookalikes) -> str:
    notes = f"; {_of(alike.copied_notes, alike.notes_compared)} notes nearly repeat one of another patient"
    return (
        "<h2>Patients who look alike</h2>"
        f"<p>{alike.same_records:,} patients have, visit by visit, exactly the codes of another; for "
        f"{alike.same_records_across:,} of them the other is in another split"
        f"{notes if alike.notes_compared else ''}.</p>"
    )


def _impossible(task: Task, impossible: Impossible) -> str:
    dropped = task.info.get("accounting", {}).get("visits", {"dropped": {}})["dropped"]
    dead = dropped.get("death before admission", 0)
    rows = [(_KINDS[kind], f"{count:,}") for kind, count in impossible.by_kind.items()]
    listed = {code: (count,) for code, count in impossible.by_code.items()}
    return (
        "<h2>Records that cannot be</h2>"
        f"<p>{dead:,} visits after the patient's death were left out when the task was prepared.</p>"
        + (_table(("codes", "targets"), rows) if rows else "<p>The edition has no codes bound to a sex or an age.</p>")
        + _codes_table(task, listed, ("targets",))
    )


def _drift(task: Task, drift: Drift) -> str:
    protocol = task.info["protocol"]["name"] if "protocol" in task.info else "unknown"
    meaning = (
        "Test is later than train, so this is drift."
        if protocol == "temporal"
        else f"The splits ({escape(protocol)}) are not in time, so this shows chance and differences of patients; "
        "--protocol temporal shows drift. Years are not in a prepared task."
    )
    changed = task.info.get("changed", {})
    borders = {event: count for event, count in changed.items() if "ICD" in event or "GEM" in event.upper()}
    rows = [
        (code, task.all_definitions.get(code, ""), f"{train:.1%}", f"{test:.1%}")
        for code, (train, test) in drift.by_code.items()
    ]
    at_border = "".join(f"<li>{escape(event)}: {count:,}</li>" for event, count in borders.items())
    return (
        "<h2>Use of codes in train and test</h2>"
        f"<p>Divergence {drift.distance:.4f} bits; {drift.expected:.4f} by chance alone. {meaning}</p>"
        + _table(("code", "title", "train", "test"), rows)
        + (f"<p>At the border of ICD-9 and ICD-10:</p><ul>{at_border}</ul>" if at_border else "")
    )


def _codes_table(task: Task, by_code: Mapping[str, Sequence[int]], heads: Sequence[str]) -> str:
    """The codes with FEWEST_PATIENTS and more in the last column, LISTED at most, and how many are not shown."""
    titles = task.all_definitions
    shown = [(code, counts) for code, counts in by_code.items() if counts[-1] >= FEWEST_PATIENTS][:LISTED]
    rows = [(code, titles.get(code, ""), *(f"{count:,}" for count in counts)) for code, counts in shown]
    more = len(by_code) - len(shown)
    note = f"<p>{more:,} more codes, or with fewer than {FEWEST_PATIENTS} cases, are not shown.</p>" if more else ""
    return (_table(("code", "title", *heads), rows) if rows else "") + note


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _of(part: int, whole: int) -> str:
    share = f" ({part / whole:.1%})" if whole else ""
    return f"{part:,} of {whole:,}{share}"
