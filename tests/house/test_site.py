"""The site of docs/ builds without a warning, none of its links is broken, and its page of commands is today's."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from urllib.parse import unquote, urlsplit

import pytest
from ready_python import run_ready

from mera.root import ROOT

SITE = ROOT / "docs" / "site"


class Links(HTMLParser):
    """What a page links to, and the places in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.links |= {attributes[key] for key in ("href", "src") if attributes.get(key)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", SITE / "mkdocs.yml"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [*command, "--site-dir", folder], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_no_link_of_the_site_is_broken_and_nothing_is_loaded_from_elsewhere(site):
    pages = {page: Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    assert {site / "index.html", site / "cli.html", site / "method.html"} <= set(pages)
    broken, loaded = [], []
    for page, parsed in pages.items():
        for link in parsed.links:
            address = urlsplit(link)
            if address.netloc:
                loaded += [link] if address.path.endswith((".js", ".css", ".woff2")) else []
            elif not address.scheme and page.name != "404.html":  # which is served at any address
                target = (page.parent / unquote(address.path)).resolve() if address.path else page
                places = pages[target].places if target in pages else None
                if not target.exists() or (address.fragment and places is not None and address.fragment not in places):
                    broken.append((page.name, link))
    assert not broken
    assert not loaded


def test_the_page_of_commands_is_what_they_print_today():
    spec = spec_from_file_location("cli_page", SITE / "cli_page.py")
    cli_page = module_from_spec(spec)
    spec.loader.exec_module(cli_page)

    def help_text(words):
        environment = os.environ | {"COLUMNS": str(cli_page.COLUMNS), "NO_COLOR": "1", "TERM": "dumb"}
        done = run_ready(["-m", "mera.cli", *words, "--help"], cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert cli_page.page(help_text) == cli_page.PAGE.read_text(encoding="utf-8"), "python docs/site/cli_page.py"
