"""Short clinical notes for synthetic visits, with the characters that support each code.

A note mentions every code of its visit once, by one of its names, and some twice. It also holds what must not be coded:
findings denied or ruled out, and illnesses of relatives. Each sentence comes from several templates.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from data.cohorts.cohort import Evidence
from data.synthetic.conditions import ACUTE
from data.synthetic.phrases import PHRASES

T = TypeVar("T")
MIN_WORDS = 60
"""Shorter notes are filled up with sentences that support no code."""

Piece = tuple[str, str | None]
"""Text, and the code that it supports."""

_EVENTS = tuple(event.code for event in ACUTE)
_FAMILIAL = ("E11.9", "I10", "I25.10", "C50.919", "C18.9", "C61", "G30.9", "M06.9", "E03.9", "F20.9")
_RELATIVES = ("mother", "father", "sister", "brother", "maternal aunt", "grandfather")

_OPENINGS = (
    "{age}-year-old {person} admitted with ",
    "Pt is a {age} y/o {letter} presenting with ",
    "This {age} year old {person} was brought in because of ",
    "{age}{letter}, reason for admission: ",
)
_OPENINGS_WITHOUT_EVENT = (
    "{age}-year-old {person} seen for a planned review",
    "Pt is a {age} y/o {letter} in for routine follow-up",
    "Elective stay of this {age} year old {person}",
)
_BACKGROUNDS = ("PMH: ", "Past medical history includes ", "Background of ", "Known for ", "Chronic problems: ")
_DENIALS = (
    ("No evidence of ", "."),
    ("Denies ", "."),
    ("", " was ruled out."),
    ("Negative for ", "."),
    ("Work-up did not show ", "."),
)
_FAMILY = (("Family history: {relative} with ", "."), ("{Relative} had ", "."))
_AGAIN = (("Treatment for ", " was adjusted."), ("Discussed ", " at length."), ("", " remains the main concern."))
_FILLERS = (
    "Vitals on arrival: BP {systolic}/{diastolic}, HR {pulse}, afebrile.",
    "Lives with family and walks unaided.",
    "Medications were reconciled with the pharmacy list.",
    "Allergies: none known.",
    "Labs were trended daily and reviewed on the ward round.",
    "Seen by physiotherapy and the social worker before going home.",
    "Discharged in stable condition with follow-up in two weeks.",
    "The plan was explained and all questions were answered.",
    "Imaging was reviewed together with radiology.",
    "Diet as tolerated, activity as tolerated.",
    "Will call the clinic if symptoms return.",
)


def write_note(
    codes: Sequence[str], age: int, sex: str, generator: np.random.Generator
) -> tuple[str, tuple[Evidence, ...]]:
    """A note for a visit with `codes`, and for each mention its code and its characters `[start, end)`."""
    events = _shuffled([code for code in codes if code in _EVENTS], generator)
    chronic = _shuffled([code for code in codes if code not in _EVENTS], generator)
    sentences = [_opening(events, age, sex, generator)]
    if chronic:
        sentences.append(_background(chronic, generator))
    asides = [_denial(code, generator) for code in _not_to_code(codes, generator)]
    if generator.random() < 0.5:
        asides.append(_family_history(codes, generator))
    if generator.random() < 0.4:
        before, after = _pick(_AGAIN, generator)
        asides.append([(before, None), _mention(_pick(codes, generator), generator), (after, None)])
    sentences += _shuffled(asides, generator)
    for filler in _shuffled(_FILLERS, generator):
        if _num_words(sentences) >= MIN_WORDS:
            break
        numbers = {
            "systolic": generator.integers(112, 139),
            "diastolic": generator.integers(62, 85),
            "pulse": generator.integers(62, 96),
        }
        sentences.append([(filler.format(**numbers), None)])
    return _assemble(sentences)


def _opening(events: list[str], age: int, sex: str, generator: np.random.Generator) -> list[Piece]:
    words = {"age": age, "person": "woman" if sex == "F" else "man", "letter": sex}
    if not events:
        return [(_pick(_OPENINGS_WITHOUT_EVENT, generator).format(**words) + ".", None)]
    return [(_pick(_OPENINGS, generator).format(**words), None), *_listing(events, generator), (".", None)]


def _background(chronic: list[str], generator: np.random.Generator) -> list[Piece]:
    return [(_pick(_BACKGROUNDS, generator), None), *_listing(chronic, generator), (".", None)]


def _denial(code: str, generator: np.random.Generator) -> list[Piece]:
    before, after = _pick(_DENIALS, generator)
    return [(before + _pick(_plain_names(code), generator) + after, None)]


def _family_history(codes: Sequence[str], generator: np.random.Generator) -> list[Piece]:
    before, after = _pick(_FAMILY, generator)
    relative = _pick(_RELATIVES, generator)
    illness = _pick([code for code in _FAMILIAL if code not in codes], generator)
    before = before.format(relative=relative, Relative=relative.capitalize())
    return [(before + _pick(_plain_names(illness), generator) + after, None)]


def _not_to_code(codes: Sequence[str], generator: np.random.Generator) -> list[str]:
    """Two or three events whose category the visit does not have, so that denying them is no contradiction."""
    categories = {code[:3] for code in codes}
    return _shuffled([code for code in _EVENTS if code[:3] not in categories], generator)[: generator.integers(2, 4)]


def _plain_names(code: str) -> list[str]:
    """The full name and the abbreviations: "denies CP" reads well, "denies no bowel movement" does not."""
    name, *others = PHRASES[code]
    return [name, *(other for other in others if other.isupper())]


def _listing(codes: list[str], generator: np.random.Generator) -> list[Piece]:
    last = " and " if generator.random() < 0.6 else ", "
    pieces: list[Piece] = []
    for index, code in enumerate(codes):
        if index:
            pieces.append((last if index == len(codes) - 1 else ", ", None))
        pieces.append(_mention(code, generator))
    return pieces


def _mention(code: str, generator: np.random.Generator) -> Piece:
    return _pick(PHRASES[code], generator), code


def _assemble(sentences: list[list[Piece]]) -> tuple[str, tuple[Evidence, ...]]:
    text, evidence = "", []
    for sentence in sentences:
        if text:
            text += " "
        begins_with = len(text)
        for piece, code in sentence:
            if code is not None:
                evidence.append((code, len(text), len(text) + len(piece)))
            text += piece
        text = text[:begins_with] + text[begins_with].upper() + text[begins_with + 1 :]
    return text, tuple(evidence)


def _num_words(sentences: list[list[Piece]]) -> int:
    return len(_assemble(sentences)[0].split())


def _pick(options: Sequence[T], generator: np.random.Generator) -> T:
    return options[int(generator.integers(len(options)))]


def _shuffled(items: Sequence[T], generator: np.random.Generator) -> list[T]:
    return [items[index] for index in generator.permutation(len(items))]
