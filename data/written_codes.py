"""Codes as people and programs write them: what is no part of the code and can be taken off without doubt."""

import re
import unicodedata

QUOTES = "'\"`´‘’“”"
MARKS = "†*"
"""Dagger and asterisk, which say which of two codes is the disease and which its manifestation."""


def bare_code(raw: str, marks: str = MARKS) -> str:
    """`raw` in upper case without spaces (of any width), quotes and `=` of a spreadsheet around it, and `marks` after
    it; a decimal comma is the dot. Nothing inside the code is repaired: the letter O is no zero.
    """
    text = "".join(character for character in str(raw) if unicodedata.category(character) != "Cf")
    text = re.sub(r"\s+", "", text).removeprefix("=").strip(QUOTES).rstrip(marks).upper()
    return re.sub(r"^([A-Z]?\d[0-9A-Z]{1,2}),([0-9A-Z]{1,4})$", r"\1.\2", text)
