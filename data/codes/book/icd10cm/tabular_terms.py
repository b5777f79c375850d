"""Names of codes in the CDC's XML of the tabular list: inclusion terms, and titles that are no titles today."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import BinaryIO

from data.codes.book.index.xml_elements import stream_elements


def tabular_terms(file: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    """(code as written, term): the title and the inclusion terms of every code, in the order of the file.

    `name`: what errors call the file. Raises UserError where it is damaged.
    """
    for category in stream_elements(file, {"diag"}, name):
        for code in category.iter("diag"):
            written = _words(code.find("name"))
            for term in (*code.findall("desc"), *code.findall("inclusionTerm/note")):
                yield written, _words(term)


def _words(element: ET.Element | None) -> str:
    return " ".join("".join(element.itertext()).split()) if element is not None else ""
