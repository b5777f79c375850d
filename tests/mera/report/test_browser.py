"""The report's page in a real browser: no console message, no request, tables sort by click and by keyboard.

Chromium prints the console to stderr and the finished page to stdout, so no driver is needed.
"""

import html
import json
import re
import shutil
import subprocess

import pytest
from made_up_runs import make_rich_runs

from mera.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on this machine")

PROBE = """
<script>
addEventListener("load", () => {
  const table = document.querySelector(".question table.sortable");
  const button = table.tHead.rows[0].cells[2].querySelector("button");
  const names = () => Array.from(table.tBodies[0].rows, row => row.cells[0].firstChild.textContent);
  const found = { buttons: document.querySelectorAll("th button").length, orders: [names()], states: [] };
  for (let click = 0; click < 3; click++) {
    button.focus();
    document.activeElement.click();
    found.orders.push(names());
    found.states.push(table.tHead.rows[0].cells[2].getAttribute("aria-sort"));
  }
  found.overflow = document.documentElement.scrollWidth > innerWidth;
  found.requests = performance.getEntriesByType("resource").length;
  const result = document.createElement("pre");
  result.id = "probe";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
</script>
"""


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    runs = make_rich_runs(folder / "runs")
    write_report(runs, folder / "report", bootstrap_samples=20, with_examples=1)
    return folder / "report"


def browse(page, profile, width=1280):
    """What chromium prints: the page after its scripts, and its console."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--enable-logging=stderr", f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("name", ["index.html", "examples/1.html"])
def test_no_console_message(report_folder, tmp_path, name):
    page, console = browse(report_folder / name, tmp_path)
    assert "</html>" in page
    assert console == []


def test_tables_sort_down_up_and_back_and_nothing_is_requested(report_folder, tmp_path):
    whole = (report_folder / "index.html").read_text()
    # The page's own policy would refuse the probe.
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", whole).replace(
        "</body>", PROBE + "</body>"
    )
    (tmp_path / "probed.html").write_text(probed)
    page, console = browse(tmp_path / "probed.html", tmp_path / "profile")
    assert console == []
    found = json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', page, re.S)[1]))
    section = json.loads((report_folder / "report.json").read_text())["tasks"][0]
    values = {run["label"]: run["metrics"]["recall@20"]["value"] for run in section["runs"]}
    falling = sorted(values, key=values.get, reverse=True)
    assert found["orders"] == [list(values), falling, falling[::-1], list(values)]
    assert found["states"] == ["descending", "ascending", "none"]
    assert found["buttons"] > 50
    assert not found["overflow"], "wide tables scroll in their own frame, the page does not"
    assert found["requests"] == 0


def test_a_script_that_is_not_the_reports_own_is_refused(report_folder, tmp_path):
    whole = (report_folder / "index.html").read_text()
    (tmp_path / "injected.html").write_text(whole.replace("</body>", PROBE + "</body>"))
    page, console = browse(tmp_path / "injected.html", tmp_path / "profile")
    assert '<pre id="probe">' not in page
    assert any("Content Security Policy" in line for line in console)
