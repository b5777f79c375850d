"""What MkDocs does with the pages of docs/ (docs/site/mkdocs.yml): the README is the first one."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
"""[text](path#place) of a path in this project."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs: add the README as `index.md`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=relinked(text, ".")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called by MkDocs for each page."""
    if page.file.src_uri == "index.md":
        return markdown
    return relinked(markdown, posixpath.dirname(f"docs/{page.file.src_uri}"))


def relinked(markdown: str, folder: str) -> str:
    """Links of a page in `folder` of the project as the site has them: to the README, to pages of docs/, and the text
    alone where a link leads to a file that the site has not."""

    def link(found: re.Match[str]) -> str:
        text, path, place = found[1], found[2], found[3] or ""
        target = posixpath.normpath(posixpath.join(folder, path))
        if target == "README.md":
            return f"[{text}]({posixpath.relpath('docs/index.md', folder if folder != '.' else 'docs')}{place})"
        if not target.startswith("docs/"):
            return text if text.startswith("`") else f"{text} (`{target}`)"
        return f"[{text}]({posixpath.relpath(target, folder if folder != '.' else 'docs')}{place})"

    return LINK.sub(link, markdown)
