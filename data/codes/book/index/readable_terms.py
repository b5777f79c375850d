"""From a path of an index to the words in which one would say or write it.

The titles between two connectors (`with`, `due to`, `in`, ...) are one phrase, inverted in the index: `Disease, kidney,
chronic` is `chronic kidney disease`. Types, stages and grades can stand on either side: `type 2 diabetes`, `diabetes
type 2`. Where the main title has an adjective, it replaces the first connector: `diabetic nephropathy` for `diabetes
with nephropathy`.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from data.codes.book.index.index_xml import Title
from data.codes.book.index.title_forms import ModifiedNoun, TitleForms, is_adjective, title_forms

MAX_TERMS = 12
"""Terms of one path."""
MAX_MODIFIED = 6
"""Of these, the most that have a non-essential modifier."""
_BEHIND = re.compile(
    r"(?:type|stage|grade|class|group|level|phase|degree|degrees|abuse|dependence|use|in remission|in situ)\b",
    re.IGNORECASE,
)
"""Titles that stand behind the words they qualify."""
_PART_OF_NAME = re.compile(r"(?:[A-Za-z]\d*|\d+|[IVX]+)(?: ?(?:,|or|and|/) ?(?:[A-Z]|\d+|[IVX]+))*")
"""A title that goes on with the name in the one above: `vitamin > A`."""
_PARTS = ("neck", "head", "shaft", "body", "base", "tip", "apex", "wall", "upper end", "lower end", "end", "margin")
"""Titles that follow the organ above them: `femoral neck`."""
_CONTAINERS = ("limb", "limbs", "extremity", "extremities", "lower limb", "upper limb", "lower extremity")
_SPECIFIED = re.compile(
    r"(?:other )?(?:specified|unspecified)(?: (?:type|site|form|cause|part|region|condition))?|unspecified sites?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Phrase:
    """Titles of a path up to the next connector."""

    connector: str
    titles: tuple[TitleForms, ...]
    """The head first; what stands below it in the index comes after it here and before it in speech."""

    def inverted(self) -> str:
        head, *below = (title.noun for title in self.titles)
        behind = [words for words in below if _BEHIND.match(words)]
        before = [words for words in reversed(below) if not _BEHIND.match(words)]
        return _words(*before, head, *behind)

    def with_grade_first(self) -> str:
        return _words(*reversed([title.noun for title in self.titles]))

    def in_order(self) -> str:
        return _words(*(title.noun for title in self.titles))

    def linked(self) -> str:
        """`atrophy of bladder`; of several titles below the head the first follows the link."""
        head, first, *below = (title.noun for title in self.titles)
        return _words(*reversed(below), head, self.titles[0].link, first)

    def adjectival(self, adjective: str) -> str:
        return _words(*reversed([title.noun for title in self.titles[1:]]), adjective)


def readable_terms(path: Sequence[Title], inverted: bool = True, below: Set[str] = frozenset()) -> list[str]:
    """What a path is called, the plainest first; at most MAX_TERMS, all different.

    `inverted`: whether a title below another qualifies it; the index of external causes goes on in its order instead:
    `accident, car occupant, driver`. `below`: the titles right below the path; a modifier that is one of them means
    that entry rather than this one, as `acute` does for `Failure, heart (acute), diastolic` with `acute` below it.
    """
    forms = [title_forms(title, index == 0) for index, title in enumerate(path)]
    terms = dict.fromkeys(_plain_terms(forms, inverted))
    modified: dict[str, None] = {}
    for term in _modified_terms(forms, inverted, below):
        if len(modified) == MAX_MODIFIED:
            break
        if term not in terms:
            modified[term] = None
    plain = [term for term in terms if term][: MAX_TERMS - len(modified)]
    return [*plain, *modified]


def _plain_terms(forms: Sequence[TitleForms], inverted: bool) -> Iterator[str]:
    phrases = _phrases(forms)
    first, rest = phrases[0], [_words(phrase.connector, phrase.inverted()) for phrase in phrases[1:]]
    if not inverted:
        yield _words(*(_words(phrase.connector, phrase.in_order()) for phrase in phrases))
    yield _words(first.inverted(), *rest)
    yield _words(first.with_grade_first(), *rest)
    if len(first.titles) > 1 and first.titles[0].link:
        yield _words(first.linked(), *rest)
    for adjective in forms[0].adjectives:
        if len(phrases) == 1 and len(first.titles) == 1:
            yield adjective
        elif len(phrases) == 1 and not is_adjective(first.titles[1].noun):
            yield _words(adjective, *reversed([title.noun for title in first.titles[1:]]))
        elif len(phrases) > 1 and phrases[1].connector == "with" and adjective.endswith(("ic", "al", "ous")):
            later = [_words(phrase.connector, phrase.inverted()) for phrase in phrases[2:]]
            yield _words(first.adjectival(adjective), phrases[1].inverted(), *later)
    for index, form in enumerate(forms):
        for other in form.others[:2]:
            swapped = _phrases([*forms[:index], replace(form, noun=other), *forms[index + 1 :]])
            yield _words(*(_words(phrase.connector, phrase.inverted()) for phrase in swapped))


def _modified_terms(forms: Sequence[TitleForms], inverted: bool, below: Set[str]) -> Iterator[str]:
    """With one modifier each: the first of each title, from the last title up, then the second of each, and so on."""
    negated = {form.noun.removeprefix("non").lstrip("-") for form in forms if form.noun.startswith("non")}
    for position in range(max((len(form.modified) for form in forms), default=0)):
        for index in reversed(range(len(forms))):
            modified = forms[index].modified[position : position + 1]
            said = {word for form in forms for word in form.noun.split()}
            if modified and modified[0].before not in negated | said | below:
                yield _with_modifier(forms, index, modified[0], inverted)


def _with_modifier(forms: Sequence[TitleForms], index: int, modified: ModifiedNoun, inverted: bool) -> str:
    changed = replace(forms[index], noun=modified.noun)
    parts: list[str] = []
    for phrase in _phrases([*forms[:index], changed, *forms[index + 1 :]]):
        words = phrase.inverted() if inverted else phrase.in_order()
        if changed in phrase.titles:
            words = _words(modified.before, words, modified.after)
        parts.append(_words(phrase.connector, words))
    return _words(*parts)


def _phrases(forms: Sequence[TitleForms]) -> list[_Phrase]:
    forms = _without_containers(forms)
    phrases: list[_Phrase] = []
    connector, titles = "", list[TitleForms]()
    for index, form in enumerate(forms):
        link = forms[index - 1].link if index > 1 else ""
        if form.connector or (link and titles and not forms[index - 1].connector):
            if titles:
                phrases.append(_Phrase(connector, tuple(titles)))
                titles, connector = [], ""
            connector = _words(connector, form.connector or link)
        goes_on = _PART_OF_NAME.fullmatch(form.noun) or (form.noun in _PARTS and len(titles) > 1)
        if titles and goes_on and not form.connector:
            titles[-1] = replace(titles[-1], noun=f"{titles[-1].noun} {form.noun}")
        elif form.noun and not _SPECIFIED.fullmatch(form.noun):
            titles.append(form)
        elif form.noun and index == len(forms) - 1 and not form.noun.startswith("unspecified"):
            titles.append(replace(form, noun="other specified"))
    if titles:
        phrases.append(_Phrase(connector, tuple(titles)))
    return phrases or [_Phrase("", (forms[0],))]


def _without_containers(forms: Sequence[TitleForms]) -> list[TitleForms]:
    """Without `limb > lower` where a site follows: `Pain, limb, lower, foot` is a pain in the foot."""
    named: list[TitleForms] = []
    inside = False
    for index, form in enumerate(forms):
        is_container = form.noun in _CONTAINERS or (inside and form.noun in ("lower", "upper"))
        inside = 0 < index < len(forms) - 1 and is_container and not form.connector and not forms[index + 1].connector
        if not inside:
            named.append(form)
    return named


def _words(*parts: str) -> str:
    return " ".join(word for part in parts for word in part.split())
