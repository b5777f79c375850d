"""Findings and impression of a radiology report, as MIMIC-CXR writes them: a heading in capitals, a colon, text."""

import re
from collections.abc import Sequence

SECTIONS = ("findings", "impression")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ,()/&.-]{2,}?)[ \t]*:", re.MULTILINE)
_NAMES = {
    "findings": re.compile(r"FINDING|^CHEST|^PA AND LATERAL|^FRONTAL"),
    "impression": re.compile(r"IMPRESSION|CONCLUSION|^IMP\b"),
}


def find_sections(report: str) -> dict[str, str]:
    """section -> its text, for those of SECTIONS the report has; `FINDINGS AND IMPRESSION` is one text, the findings'.

    Words of a sentence before a colon are no heading: a heading is all capitals at the start of a line.
    """
    headings = list(_HEADING.finditer(report))
    texts: dict[str, list[str]] = {}
    for place, heading in enumerate(headings):
        end = headings[place + 1].start() if place + 1 < len(headings) else len(report)
        text = " ".join(report[heading.end() : end].split())
        name = next((name for name, pattern in _NAMES.items() if pattern.search(heading[1])), None)
        if name is not None and text:
            texts.setdefault(name, []).append(text)
    return {name: " ".join(texts[name]) for name in SECTIONS if name in texts}


def report_text(report: str, sections: Sequence[str] = SECTIONS) -> str | None:
    """The wanted sections, each with its name before it; None where the report has none of them."""
    texts = find_sections(report)
    parts = [f"{name.capitalize()}: {texts[name]}" for name in sections if name in texts]
    return "\n".join(parts) or None
