"""Elements of an XML file. A document type is refused, and with it entities, which could make a small file expand
without bound."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator
from typing import BinaryIO
from xml.parsers import expat

from mera.system.errors import UserError

_CHUNK = 1 << 16
"""Bytes."""


def read_root(content: bytes, name: str) -> ET.Element:
    """The root of a document, as `stream_elements` reads it."""
    (root,) = stream_elements(io.BytesIO(content), None, name)
    return root


def stream_elements(file: BinaryIO, tags: Collection[str] | None, name: str) -> Iterator[ET.Element]:
    """The elements called one of `tags` (None: the root), each complete, in the order of the file; one inside another
    such element comes as a part of it only. The file is never in memory as a whole.

    `name`: what errors call the file. Raises UserError where it is no well-formed XML or has a document type.
    """
    collector = _Collector(tags, name)
    try:
        while chunk := file.read(_CHUNK):
            collector.parser.Parse(chunk, False)
            yield from collector.take()
        collector.parser.Parse(b"", True)
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        raise UserError(
            f"{name} is damaged: line {error.lineno}, column {error.offset + 1}: {what}; fetch the file again"
        ) from None
    except LookupError:
        raise UserError(f"{name} is damaged: it names an encoding that there is not; fetch the file again") from None
    yield from collector.take()


class _Collector:
    """Builds the elements that the parser is inside of."""

    def __init__(self, tags: Collection[str] | None, name: str):
        self._tags = None if tags is None else frozenset(tags)
        self._name = name
        self._builder: ET.TreeBuilder | None = None
        self._depth = 0
        self._complete: list[ET.Element] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse_document_type
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data

    def take(self) -> list[ET.Element]:
        complete, self._complete = self._complete, []
        return complete

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._builder is None and (self._tags is None or tag in self._tags):
            self._builder = ET.TreeBuilder()
        if self._builder is not None:
            self._builder.start(tag, attributes)
            self._depth += 1

    def _end(self, tag: str) -> None:
        if self._builder is None:
            return
        self._builder.end(tag)
        self._depth -= 1
        if self._depth == 0:
            self._complete.append(self._builder.close())
            self._builder = None

    def _data(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)

    def _refuse_document_type(self, *_: object) -> None:
        raise UserError(
            f"{self._name} declares a document type, which no file of the CDC does; fetch it again from them"
        )
