"""The report's page in a real browser: nothing said on the console, nothing asked for, nothing cut off or overlapping,
and its controls.

With `npm install axe-core` somewhere and its file named, accessibility is checked too:
`MERA_AXE=node_modules/axe-core/axe.min.js pytest tests/mera/report/test_browser.py`.
"""

import base64
import json
import os
import re
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from made_up_runs import make_rich_runs

from mera.report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on this machine")
AXE = os.environ.get("MERA_AXE")
WIDTHS = (1280, 768, 430)
PRINTED_PAGE = re.compile(rb"/Type /Page\b")
OPEN_ALL = "document.querySelectorAll('details:not(.models)').forEach(each => each.open = true)"
CUT_OFF = """
[...document.querySelectorAll('figure > svg')].flatMap(drawing => {
  const frame = drawing.getBoundingClientRect();
  return [...drawing.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
  }).map(text => text.textContent);
})
"""
OVERLAPPING = """
[...document.querySelectorAll('figure > svg')].flatMap(drawing => {
  const texts = [...drawing.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([words, a], place) => texts.slice(place + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.3 * a.height
  ).map(([other]) => [words, other]));
})
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_rich_runs(tmp_path_factory.mktemp("browser-runs"))


@pytest.fixture(scope="module")
def report_folder(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "report"
    write_report(runs, folder, bootstrap_samples=20, with_examples=1, rare_codes=True)
    return folder


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as opened:
        yield opened


def names(browser, table):
    return browser.evaluate(f"Array.from({table}.tBodies[0].rows, row => row.cells[0].firstChild.textContent)")


def select(browser, selector, value):
    browser.evaluate(
        f"(() => {{ const each = document.querySelector({json.dumps(selector)});"
        f"each.value = {json.dumps(value)}; each.dispatchEvent(new Event('change')); }})()"
    )


@pytest.mark.parametrize("name", ["index.html", "examples/1.html"])
def test_nothing_is_said_and_nothing_asked_for(report_folder, browser, name):
    browser.open((report_folder / name).as_uri())
    assert browser.complaints() == []
    assert [address for address in browser.addresses() if not address.startswith("file:")] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off_and_no_texts_of_a_figure_overlap(report_folder, browser, theme):
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    papers = set()
    for width in WIDTHS:
        browser.size(width, 900)
        browser.open((report_folder / "index.html").as_uri())
        browser.evaluate(OPEN_ALL)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, "wide tables scroll in their frame"
        assert browser.evaluate(CUT_OFF) == []
        assert browser.evaluate(OVERLAPPING) == []
        papers.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers == {{"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[theme]}


def test_the_verdict_is_read_before_anything_else(report_folder, browser):
    for width in WIDTHS:
        browser.size(width, 900)
        browser.open((report_folder / "index.html").as_uri())
        bottom = browser.evaluate("document.querySelector('.verdict').getBoundingClientRect().bottom")
        assert bottom < 900
    browser.size(1280, 900)
    assert browser.evaluate("document.querySelector('.chart svg').getBoundingClientRect().bottom") < 900


def test_tables_sort_down_up_and_back(report_folder, browser):
    browser.open((report_folder / "index.html").as_uri())
    section = json.loads((report_folder / "report.json").read_text())["tasks"][0]
    values = {run["label"]: run["metrics"]["recall@20"]["value"] for run in section["runs"]}
    falling = sorted(values, key=values.get, reverse=True)
    table = "document.querySelector('.question table.sortable')"
    assert names(browser, table) == list(values)
    for expected, state in ((falling, "descending"), (falling[::-1], "ascending"), (list(values), "none")):
        browser.evaluate(f"{table}.tHead.rows[0].cells[2].querySelector('button').focus()")
        browser.key("Enter")
        assert names(browser, table) == expected
        assert browser.evaluate(f"{table}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == state


def test_the_chart_shows_another_metric_another_order_and_fewer_models(report_folder, browser):
    browser.open((report_folder / "index.html").as_uri())
    section = json.loads((report_folder / "report.json").read_text())["tasks"][0]
    shown = "[...document.querySelectorAll('.chart .dot-row')].filter(row => row.getAttribute('display') !== 'none')"
    printed = f"Object.fromEntries({shown}.map(row => [row.dataset.run, row.querySelector('.value').textContent]))"
    for metric in ("map", "micro_f1"):
        select(browser, ".chart select", metric)
        expected = {run["run"]: run["metrics"][metric]["value"] for run in section["runs"]}
        written = browser.evaluate(printed)
        for run, value in expected.items():
            assert written[run].split(" ")[0] == ("\u2014" if value is None else f"{100 * value:.1f}")
    select(browser, ".chart label:nth-of-type(2) select", "name")
    places = (
        "document.querySelectorAll('.chart .dot-row').values().map(row => "
        "[row.dataset.run, +row.getAttribute('transform').split(' ')[1].slice(0, -1)]).toArray()"
    )
    by_name = [run for run, _ in sorted(browser.evaluate(places), key=lambda each: each[1])]
    assert by_name == ["bi-encoder", "rank-tiny", "history", "popularity", "oracle"]
    browser.click(".models summary")
    browser.click(".models label:nth-of-type(2)")
    assert len(browser.evaluate(printed)) == 4
    hidden = "document.querySelectorAll(\"tr[data-run='rank-tiny']\").values().every(row => row.hidden)"
    assert browser.evaluate(hidden), "the tables show the same models"
    assert browser.complaints() == []


def test_every_code_can_be_searched_and_few_rows_are_in_the_page(report_folder, browser):
    browser.open((report_folder / "index.html").as_uri())
    browser.click(".contents a[href$='-errors']")
    assert browser.text(".codes [role=status]") == "60 of 60 codes"
    assert len(browser.texts(".codes tbody tr")) < 45
    browser.click(".codes input")
    browser.type("condition 17")
    assert browser.text(".codes [role=status]") == "1 of 60 codes"
    assert browser.texts(".codes tbody th") == ["117.0"]
    select(browser, ".codes select", "1")
    first = browser.texts(".codes tbody td")
    select(browser, ".codes select", "2")
    assert browser.texts(".codes tbody td") != first
    assert browser.complaints() == []


def test_a_link_opens_its_section(report_folder, browser):
    browser.open((report_folder / "index.html").as_uri())
    opened = "document.querySelector('#task-1-cost details').open"
    assert not browser.evaluate(opened)
    browser.click(".contents a[href$='-cost']")
    assert browser.evaluate(opened)


def test_the_core_prints_on_at_most_twelve_pages(runs, tmp_path, browser):
    page = write_report(runs, tmp_path / "core", bootstrap_samples=20, sections="core")
    browser.open(page.as_uri())
    printed = base64.b64decode(browser.command("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert 3 < len(PRINTED_PAGE.findall(printed)) <= 12


def test_a_script_that_is_not_the_reports_own_is_refused(report_folder, tmp_path, browser):
    whole = (report_folder / "index.html").read_text()
    injected = whole.replace("</body>", "<script>document.body.id = 'injected'</script></body>")
    (tmp_path / "injected.html").write_text(injected)
    browser.open((tmp_path / "injected.html").as_uri())
    assert browser.evaluate("document.body.id") == ""
    assert "Content Security Policy" in json.dumps(browser.complaints())


@pytest.mark.skipif(AXE is None, reason="MERA_AXE names no axe.min.js")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(report_folder, browser, theme):
    browser.command("Page.setBypassCSP", enabled=True)  # for axe itself
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    for width in WIDTHS:
        browser.size(width, 900)
        browser.open((report_folder / "index.html").as_uri())
        browser.evaluate(OPEN_ALL)
        browser.evaluate(Path(AXE).read_text() + ";1")
        result = json.loads(
            browser.evaluate(
                "axe.run(document).then(result => JSON.stringify({passes: result.passes.length, violations: "
                "result.violations.map(each => [each.id, each.nodes.slice(0, 3).map(node => node.html)])}))"
            )
        )
        assert result["passes"] > 20
        assert result["violations"] == []
