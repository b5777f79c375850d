"""What one title of an index can be called: `Diabetes, diabetic (mellitus) (sugar)` is the noun `diabetes`, the
adjective `diabetic`, and with its modifiers `diabetes mellitus` and `sugar diabetes`."""

import functools
import re
from dataclasses import dataclass

from data.codes.book.index.index_xml import Title

_LINKS = "|".join(
    (
        *("about", "after", "against", "arising from", "as", "at", "because of", "before", "between", "by", "due to"),
        *("during", "exposure to", "following", "for", "from", "in", "into", "involving", "of", "on", "over", "post"),
        *("related to", "secondary to", "to", "under", "upon", "with", "within", "without", "affected by"),
    )
)
_OPENINGS = re.compile(
    rf"(?:{_LINKS}|affecting|and|associated with|but|caused by|causing|combined with|complicated by"
    r"|complicating|complicated|derived from|diagnosed|induced by|leading to|manifested by|not|occurring|or|per"
    r"|requiring|resulting|resulting in|resulting from|specified as|than|that|through|which|while|confirmed by"
    r"|status post|until|versus|via|when|where|whether|who)\b(?!-)",
    re.IGNORECASE,
)
_CONNECTOR = re.compile(
    rf"(?:{_LINKS}|affecting|and|associated with|caused by|causing|combined with|complicated by|complicating"
    r"|involving|manifested by|requiring|resulting in|resulting from|with or without|meaning)",
    re.IGNORECASE,
)
_NOT_ELSEWHERE = re.compile(r"(?:,?\s*\b(?:NEC|NOS|not elsewhere classified|not otherwise specified))+(?!\w)")
_UNSPECIFIED_SITE = re.compile(r"\bunspecified sites?\b,?\s*", re.IGNORECASE)
_ADJECTIVE = re.compile(r".*(?:ic|al|ar|ary|ory|ous|ed|oid|ive|ing|ile|an|ant|ent|ine|ese|ular)$")
_LATIN = re.compile(r"(?:(?<!o)us|um|is|ae|ens|ix|orum|alis|tus|ans)$")
_IN_SITU = re.compile(r"in (?:situ|vitro|utero)\b", re.IGNORECASE)
_NOUNS = frozenset(
    ("syndrome", "disorder", "disease", "attack", "injury", "scale", "state", "condition", "type", "form")
)
"""Modifiers that follow the noun although they are one word."""
_EITHER = re.compile(r"(?P<start>(?:\S+ )*?)(?P<one>[\w'-]+),? or (?P<other>[\w'-]+)")
_ENDINGS = ("al", "ies", "ly", "e", "ed", "ing", "ism", "ic")
_STEM = 3
"""Titles whose first letters agree in so many are the same word: `Infarct, infarction`."""


@dataclass(frozen=True, slots=True)
class ModifiedNoun:
    """A noun with a modifier: `sugar` before it, `mellitus` with it, `of unknown origin` after it and all that it has
    with it."""

    noun: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class TitleForms:
    """The forms of a title, in words without NEC and NOS."""

    connector: str
    """What it begins with, such as `due to`, where that leads over from the titles above; else empty."""
    noun: str
    """The words after the connector; empty where the connector is all there is."""
    others: tuple[str, ...]
    """Other nouns for it."""
    adjectives: tuple[str, ...]
    modified: tuple["ModifiedNoun", ...]
    """The noun with one of its modifiers each."""
    link: str
    """A preposition among its modifiers, which leads to the title below: `of` in `Atrophy (of)`; else empty."""


@functools.cache
def title_forms(title: Title, is_main: bool) -> TitleForms:
    """`is_main`: whether it stands at the top of its path, where every title begins with a capital and is a noun first;
    below it stands before a noun, so that its adjective comes first."""
    before, after = (_UNSPECIFIED_SITE.sub("", _NOT_ELSEWHERE.sub("", text)) for text in (title.before, title.after))
    if after.startswith(","):  # Alteration (of), Altered
        before, after = before + after, ""
    if is_main:
        before = ", ".join(lower_first(part) for part in before.split(", "))
    connector, before = _split_connector(before)
    noun, others, adjectives = _comma_forms(before)
    if adjectives and not is_main and not connector:
        noun, others, adjectives = adjectives[0], [noun, *others], adjectives[1:]
    others += _alternatives(noun)
    if " or " in noun and others:
        noun, others = others[0], others[1:]
    if is_main and noun == "traumatic fracture":  # the other, `pathological`, is another main term
        noun, others = "fracture", [noun, *others]
    link = next((modifier for modifier in title.modifiers if _CONNECTOR.fullmatch(modifier)), "")
    modified = [_modified(title, modifier, noun, after) for modifier in title.modifiers if modifier != link]
    return TitleForms(
        connector=connector.lower(),
        noun=_join(noun, after),
        others=tuple(_join(other, after) for other in others),
        adjectives=tuple(adjectives),
        modified=tuple(dict.fromkeys(form for form in modified if form is not None and (noun or not connector))),
        link=link,
    )


def _modified(title: Title, modifier: str, noun: str, after: str) -> ModifiedNoun | None:
    """None where the modifier is no words of a diagnosis, but a reference, a remark or the ending of a plural."""
    if re.match(r"see\b|code\b|any\b|NOS|NEC|conditions in", modifier, re.IGNORECASE) or modifier in ("s", "es"):
        return None
    words = re.sub(r"[()]", "", modifier)
    if title.joined and modifier == title.modifiers[-1]:  # autonomic (poly)neuropathy
        return ModifiedNoun(_join(noun, words + after))
    if words.startswith("-") or words in _ENDINGS:
        return ModifiedNoun(_join(noun + words, after))
    whole = _join(noun, after)
    if not whole:
        return ModifiedNoun(words)
    if begins_with_connector(words) or " " in words or words in _NOUNS:
        return ModifiedNoun(whole, after=words)
    if _LATIN.search(words):
        return ModifiedNoun(_join(noun, words, after))
    return ModifiedNoun(whole, before=words)


def begins_with_connector(text: str) -> bool:
    return _OPENINGS.match(text) is not None and not _IN_SITU.match(text)


def _split_connector(text: str) -> tuple[str, str]:
    """`due to drug or chemical` -> `due to`, `drug or chemical`; of `due to, caused by` the first."""
    if _IN_SITU.match(text):
        return "", text
    listed = [part.strip() for part in re.split(r",| or ", text)]
    if all(_CONNECTOR.fullmatch(part) for part in listed):
        return ("with or without" if listed == ["with", "without"] else listed[0]), ""
    if match := re.match(rf"({_CONNECTOR.pattern}(?: (?:or|and) {_CONNECTOR.pattern})?)\s+(?=\S)", text, re.IGNORECASE):
        return match[1], text[match.end() :]
    if _OPENINGS.match(text):
        opening, _, rest = text.partition(" ")
        return opening, rest
    return "", text


def _comma_forms(text: str) -> tuple[str, list[str], list[str]]:
    """`Infarct, infarction` -> a noun and another; `glomerulosclerosis, intercapillary` -> the words put in order."""
    first, *parts = [part.strip() for part in text.split(",") if part.strip()] or [""]
    others: list[str] = []
    adjectives: list[str] = []
    trailing: list[str] = []
    noun = first
    if any(re.match(r"(?:or|and)\b", part) for part in parts):  # nevus, mark, or stain
        return text.replace(",", ""), [], []
    for part in parts:
        if part in ("diseased", "failed"):
            continue
        if _is_same_word(first, part):
            (adjectives if is_adjective(part) else others).append(part)
        elif begins_with_connector(part) or re.match(r"(?:type|stage|grade|class|degree)\b", part):
            trailing.append(part)
        else:
            noun = f"{part} {noun}"
    return " ".join([noun, *trailing]), others, adjectives


def _alternatives(noun: str) -> list[str]:
    """`disease or syndrome` at the end -> with either of them."""
    match = _EITHER.fullmatch(noun)
    if match is None or {match["one"], match["other"]} & {"other", "NEC", "more", "less", "not"}:
        return []
    return [match["start"] + match["one"], match["start"] + match["other"]]


def is_adjective(words: str) -> bool:
    """As far as the ending of the last word tells."""
    return _ADJECTIVE.fullmatch(words) is not None


def _is_same_word(first: str, second: str) -> bool:
    if " " in first or " " in second:
        return False
    length = min(_STEM, len(first), len(second))
    return length >= 3 and first[:length].lower() == second[:length].lower()


def lower_first(text: str) -> str:
    """Names of persons and abbreviations keep their capital, as far as their form tells them."""
    first, _, rest = text.partition(" ")
    if not first[:1].isupper() or any(letter.isupper() for letter in first[1:]) or re.search(r"['’]", first):
        return text
    if re.match(r"[A-Z][a-z]", rest) or len(first) == 1:
        return text
    return first[0].lower() + text[1:]


def _join(*parts: str) -> str:
    text = " ".join(part for part in parts if part)
    return re.sub(r" (?=[,;])| (?=-\w)", "", text)
