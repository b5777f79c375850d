"""The page in a real browser: click, type, see; by keyboard alone; what a screen reader hears; nothing from afar."""

import re

import pytest
from browser import CHROMIUM, Browser
from served import Served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on this machine")

NOTE = "Mr 😀 has congestive heart failure.\nDenies chest pain. AKI."
ROWS = ".code-row"


@pytest.fixture(scope="module")
def server(models):
    with Served(models[0].parent, "--bi-encoder", models[1]) as server:
        yield server


@pytest.fixture
def browser(server, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(server.address)
        yield browser
        assert browser.complaints() == []
        assert {re.match(r"https?://[^/]*", address)[0] for address in browser.addresses()} == {
            server.address.rsplit("/", 2)[0]
        }, "nothing is asked of anybody else"


def add(browser, text, visit=1):
    browser.click(f".visit:nth-child({visit}) .code-entry")
    browser.type(text)
    browser.until(f"!document.querySelector('.visit:nth-child({visit}) [role=listbox]').hidden")
    browser.key("Enter")


def enter_two_visits(browser):
    browser.click("#panel-visits [name=age]")
    browser.type("70")
    add(browser, "hypert")
    add(browser, "e119")
    browser.click("#add-visit")
    add(browser, "acute kidney", 2)
    add(browser, "I10", 2)


def rank(browser):
    browser.click("#panel-visits .main")
    browser.until(f"document.querySelectorAll('{ROWS}').length")


def test_visits_are_entered_and_the_next_diagnoses_shown(browser, engines):
    enter_two_visits(browser)
    assert browser.texts(".visit:nth-child(1) .chips b") == ["I10", "E11.9"]
    assert browser.texts(".visit:nth-child(2) .chips b") == ["N17.9", "I10"]
    assert browser.texts(".visit legend") == ["Visit 1 (oldest)", "Visit 2 (latest)"]
    rank(browser)
    patient = {"history": [{"codes": ["I10", "E11.9"], "days_before": None}], "age": 70, "sex": None, "text": None}
    patient["history"].append({"codes": ["N17.9", "I10"], "days_before": None})
    (expected,) = engines[0].ask("rank", {"patients": [patient], "top": 50, "explain": True})["patients"]
    shown = browser.texts(f"{ROWS} .open-code b")
    assert shown == [code["code"] for code in expected["codes"]][: len(shown)]
    known = [code["known"] for code in expected["codes"]][: len(shown)]
    assert browser.texts(f"{ROWS} .badges") == ["known" if is_known else "new" for is_known in known]
    assert browser.text("#status").startswith(f"{expected['predicted']} code")
    rows = browser.evaluate("[...document.querySelectorAll('#codes > tr')].map(row => row.className)")
    assert rows.index("threshold") == expected["predicted"], "the line lies behind the last predicted code"

    browser.click("#which [value=new]")
    assert set(browser.texts(f"{ROWS} .badges")) == {"new"}
    browser.click("#which [value=all]")
    browser.click(f"{ROWS} .open-code")
    browser.until("document.querySelectorAll('.details-grid section').length >= 3")
    titles = browser.texts(".details-grid h3")
    assert titles[0] == "What moved it"
    assert "In the hierarchy" in titles
    effects = expected["codes"][0]["moved_by"]
    shown = browser.texts(".effect .amount")
    assert [float(re.sub("[^0-9.-]", "", text.replace("−", "-"))) for text in shown] == [
        pytest.approx(100 * effect["change"], abs=0.06) for effect in effects
    ]
    browser.click(f"{ROWS} .open-code")
    assert browser.evaluate("document.querySelectorAll('.details').length") == 0


def test_a_model_of_events_gets_them_among_the_codes(event_checkpoint, tmp_path):
    with Served(event_checkpoint) as server, Browser(tmp_path / "profile") as browser:
        browser.open(server.address)
        add(browser, "hypert")
        add(browser, "water")
        assert browser.texts(".visit .chips b") == ["I10", "drug:water"]
        browser.click("#add-visit")
        browser.click(".visit:nth-child(2) .code-entry")
        browser.type("e11.9 n179, drug:red wine")
        browser.key("Enter")
        assert browser.texts(".visit:nth-child(2) .chips b") == ["E11.9", "N179", "drug:red wine"]
        rank(browser)
        assert browser.text("#status").endswith("left out, as the model does not know them: drug:red wine.")
        assert browser.complaints() == []


def test_codes_come_off_again_and_a_list_is_pasted(browser):
    enter_two_visits(browser)
    browser.click(".visit:nth-child(1) .chips button")
    assert browser.texts(".visit:nth-child(1) .chips b") == ["E11.9"]
    browser.click(".visit:nth-child(1) .code-entry")
    browser.key("Backspace")
    assert browser.texts(".visit:nth-child(1) .chips b") == []
    browser.evaluate(
        "(() => { const data = new DataTransfer(); data.setData('text', 'i50.9, J449;N18.6');"
        "document.querySelector('.code-entry').dispatchEvent(new ClipboardEvent('paste', "
        "{clipboardData: data, cancelable: true})); })()"
    )
    assert browser.texts(".visit:nth-child(1) .chips b") == ["I50.9", "J449", "N18.6"]
    browser.click(".visit:nth-child(2) .remove-visit")
    assert browser.texts(".visit legend") == ["Visit 1"]
    browser.click("#clear-visits")
    assert browser.texts(".chips b") == []


def test_it_can_be_used_by_keyboard_alone(browser):
    def tab_to(condition, most=40):
        for _ in range(most):
            browser.key("Tab")
            if browser.evaluate(f"(each => {condition})(document.activeElement)"):
                return
        raise AssertionError(f"Tab does not come to {condition}")

    tab_to("each.classList.contains('code-entry')")
    browser.type("heart")
    browser.until("!document.querySelector('[role=listbox]').hidden")
    active = "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).innerText"
    first = browser.evaluate(active)
    browser.key("ArrowDown")
    assert browser.evaluate(active) != first
    browser.key("Escape")
    assert browser.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.type(" fail")
    browser.until("!document.querySelector('[role=listbox]').hidden")
    browser.key("Enter")
    assert browser.texts(".chips b") == ["I50.9"]
    browser.key("Enter", 2)  # Ctrl+Enter
    browser.until(f"document.querySelectorAll('{ROWS}').length")
    tab_to("each.classList.contains('open-code')")
    browser.key("Enter")
    browser.until("document.querySelectorAll('.details').length === 1")
    assert browser.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    browser.evaluate("document.getElementById('tab-visits').focus()")
    browser.key("ArrowRight")
    assert browser.evaluate("document.activeElement.id") == "tab-note"
    assert browser.evaluate("getComputedStyle(document.getElementById('panel-note')).display") != "none"


def test_a_note_shows_its_evidence_in_its_own_characters(browser, engines):
    browser.click("#tab-note")
    browser.click("#panel-note textarea")
    browser.type(NOTE)
    browser.click("#panel-note .main")
    browser.until(f"document.querySelectorAll('{ROWS}').length")
    expected = engines[1].ask("note", {"text": NOTE, "age": None, "sex": None, "top": 50})["codes"]
    for place in (0, 1):
        browser.point_at(f"{ROWS} .open-code", place)
        words = [NOTE[span["start"] : span["end"]] for span in expected[place]["evidence"]]
        browser.until("document.querySelectorAll('mark').length")
        assert browser.evaluate("[...document.querySelectorAll('mark')].map(each => each.textContent)") == words
        assert browser.evaluate("document.getElementById('note-text').textContent") == NOTE
    browser.click("#edit-note")
    assert browser.evaluate("document.querySelector('#panel-note textarea').value") == NOTE


def test_a_problem_is_said_and_the_page_goes_on(browser):
    browser.click(".code-entry")
    browser.type("Q9Q9Q9")
    browser.key("Enter")
    browser.click("#panel-visits .main")
    browser.until("!document.getElementById('problem').hidden")
    assert "are unknown to the model" in browser.text("#problem")
    assert "Q9Q9" not in browser.text("#problem")
    browser.events.clear()  # the browser's own word on the status 422
    browser.click(".chips button")
    add(browser, "I10")
    rank(browser)
    assert browser.evaluate("document.getElementById('problem').hidden")
    browser.command("Network.clearBrowserCache")
    browser.events[:] = [event for event in browser.events if event.get("method") != "Log.entryAdded"]


def test_the_ranking_is_copied_as_csv(browser):
    add(browser, "I10")
    rank(browser)
    browser.evaluate("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    browser.click("#copy")
    lines = browser.until("window.copied").splitlines()
    assert lines[0] == "place,code,definition,probability,predicted,known"
    assert len(lines) == 31
    assert "30 codes copied" in browser.text("#status")
    assert [line.split(",")[1] for line in lines[1:4]] == browser.texts(f"{ROWS} .open-code b")[:3]
    assert any(',"Dependence on' in line or '"' in line for line in lines), "a name with a comma is quoted"


def test_what_a_screen_reader_hears(browser):
    add(browser, "I10")
    browser.click("#add-visit")
    rank(browser)
    browser.click(f"{ROWS} .open-code")
    browser.until("document.querySelectorAll('.details-grid section').length >= 2")
    names = browser.names()
    for name in (
        ("tab", "Visits"),
        ("combobox", "Add a code to visit 1"),
        ("combobox", "Add a code to visit 2"),
        ("spinbutton", "Days before now of visit 2"),
        ("button", "Remove I10"),
        ("button", "Remove visit 2"),
        ("button", "Rank next diagnoses"),
        ("button", "Copy as CSV"),
        ("radio", "New"),
        ("columnheader", "Probability"),
    ):
        assert name in names, name
    roles = {"button", "combobox", "spinbutton", "radio", "tab", "textbox", "link"}
    assert [role for role, name in names if role in roles and not name.strip()] == []
    assert browser.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [430, 1280])
def test_the_page_is_as_wide_as_the_window(browser, width):
    browser.size(width, 900)
    enter_two_visits(browser)
    rank(browser)
    browser.click(f"{ROWS} .open-code")
    browser.until("document.querySelectorAll('.details-grid section').length >= 2")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    beyond = "each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.unseen')"
    every = f"[...document.querySelectorAll('main *')].filter({beyond})"
    assert browser.evaluate(f"{every}.map(each => each.outerHTML)") == []
