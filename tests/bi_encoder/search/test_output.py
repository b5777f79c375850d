"""What `mera search` prints."""

import io

import pytest
from ready_python import run_ready
from rich.console import Console

from bi_encoder.evidence.attended_spans import Span
from bi_encoder.search.output import codes_table, highlighted
from bi_encoder.search.results import FoundCode
from mera.root import ROOT


def test_the_table_shows_evidence_in_its_words():
    text = "No fever.\nFlash pulmonary edema, and after many other words that nobody needs to see, known CHF"
    spans = [Span(start=10, end=31, weight=0.4), Span(start=text.index("CHF"), end=len(text), weight=0.2)]
    shown = highlighted(text, spans, in_colour=False).plain
    assert (
        shown
        == "No fever. *Flash pulmonary edema*, and after many other words t ... at nobody needs to see, known *CHF*"
    )
    parts = [Span(start=18, end=20, weight=0.2), Span(start=24, end=25, weight=0.1)]
    assert text[18:20] + text[24:25] == "lmy"
    shown = highlighted(text, parts, in_colour=False).plain
    assert shown.startswith("No fever. Flash *pulmonary* edema"), "whole words"
    coloured = highlighted(text, spans, in_colour=True)
    assert [coloured.plain[part.start : part.end] for part in coloured.spans] == ["Flash pulmonary edema", "CHF"]
    assert highlighted(text, [], in_colour=False).plain == ""
    found = [FoundCode(code="J81.0", score=0.5, definition="[bold]Edema[/bold]", evidence=spans)]
    console = Console(width=200, file=io.StringIO())
    console.print(codes_table(text, found, in_colour=False))
    printed = console.file.getvalue()
    assert "0.500" in printed
    assert "J81.0" in printed
    assert "[bold]Edema[/bold]" in printed, "definitions are no markup"
    assert "*CHF*" in printed


@pytest.mark.parametrize(("given", "system", "code"), [("i509", "icd10cm", "I50.9"), ("428.0", "icd9cm", "428.0")])
def test_a_code_is_answered_as_the_code_that_it_is(given, system, code):
    words = ("search", given, "--ontology", system, "--book", "none", "--top", "2")
    shown = run_ready(["-m", "mera.cli", *words], cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    assert f"{code} is a code: " in shown.stderr
    assert f"mera ontology show {code}" in shown.stderr
    assert shown.stdout.splitlines()[1].split()[1] == code, "the code itself first"


def test_a_word_of_three_letters_is_no_code():
    shown = run_ready(["-m", "mera.cli", "search", "p53", "--book", "none", "--json"], cwd=ROOT)
    assert "is a code" not in shown.stderr
    assert '"text": "p53"' in shown.stdout
