"""Elements of an XML file one by one."""

import io

import pytest

from data.codes.book.index.xml_elements import stream_elements
from mera.system.errors import UserError


def tags(text, *wanted):
    return [(e.tag, e.get("n"), "".join(e.itertext())) for e in stream_elements(io.BytesIO(text), wanted, "a.xml")]


def test_an_element_comes_with_all_that_is_in_it_and_only_once():
    text = b"<r><a n='1'>x<a n='2'>y</a></a><b>no</b><a n='3'/></r>"
    assert tags(text, "a") == [("a", "1", "xy"), ("a", "3", "")]


def test_elements_come_before_the_end_is_read():
    stream = stream_elements(io.BytesIO(b"<r><a/>" + b"<b/>" * 50_000), {"a"}, "a.xml")
    assert next(stream).tag == "a"
    with pytest.raises(UserError, match=r"a.xml is damaged: line 1, column 200008: no element found"):
        next(stream)


def test_a_document_type_is_refused():
    bomb = b"<!DOCTYPE r [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><r><a>&b;</a></r>"
    with pytest.raises(UserError, match=r"a.xml declares a document type"):
        tags(bomb, "a")
