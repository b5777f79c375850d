"""The notes of an edition as rules on a task's candidates: what excludes what, what asks for what, who can have it.

A rule has subjects, the candidates it is about, and objects, those it names; no candidate is both. What a rule of each
kind forbids is said in `mera.evaluation.coding_rules`.

`code_first` and `use_additional` rules are few on purpose. A note makes one where it is the only one of its kind at its
code, names the codes and no condition. Lists are left out: they are of cases (`A41`: sepsis after an abortion, after an
infusion, ...) or open (`such as`). So are causes and organisms, whose codes only may be required (ICD-10-CM Official
Guidelines, I.B.7), and notes of whole chapters and blocks.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from data.codes.book.book import RELATION_COLUMNS, CodeBook
from data.codes.book.tabular_notes import package_relations
from data.codes.ccs import Grouping
from data.codes.code_table import CodeNames
from data.codes.notes import patient_limits
from data.codes.notes.code_ranges import CodeOrder, is_heading, load_order
from data.editions.icd10cm import was_complete_icd10_code
from data.ontology import Ontology
from data.task_folder.book_parts import RULE_SCHEMA

EXCLUDES, FIRST, ADDITIONAL, INCOMPLETE = "excludes1", "code_first", "use_additional", "seventh_character"
MOST_INCOMPLETE = 0.5
"""Share of the candidates with codes below them. Where there are more, the source cuts its codes, as Diabetes-130 does
to three digits, and the rule would find a fault in every visit."""
_Rule = tuple[str, str, str, list[str], list[str]]

_CONDITION = re.compile(
    r"applicable|\bif\b|\bany\b|associated|such as|\bwhen|possible|complicating|due to|following", re.I
)
_IF_KNOWN = re.compile(
    r"organism|agent|bacteri|virus|infect|external|cause code|\bcause\b|Chapter|place|drug|vaccine|toxi|chemical|"
    r"tobacco|nicotine|alcohol|exposure|status|substance|manifestation|source|perpetrator",
    re.I,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidates:
    """The candidates of a task in the order of the edition."""

    order: CodeOrder
    codes: list[str]
    places: np.ndarray
    """(C,) int, rising."""

    @classmethod
    def of(cls, codes: Sequence[str], order: CodeOrder) -> "_Candidates":
        in_order = sorted(codes, key=order.place.__getitem__)
        return cls(order=order, codes=in_order, places=np.array([order.place[code] for code in in_order], dtype=int))

    def within(self, first: str, last: str) -> list[str]:
        """The candidates from `first` to the last code below `last`."""
        start, stop = np.searchsorted(self.places, self.order.span(first, last))
        return self.codes[start:stop]


def edition_notes(system: str, book: CodeBook | None) -> pl.DataFrame:
    """RELATION_COLUMNS: the notes of a code book; where it has none, of the package of ICD-10-CM; else none."""
    if book is not None and book.relations.height:
        return book.relations
    return package_relations() if system == "icd10cm" else pl.DataFrame(schema=RELATION_COLUMNS)


def task_rules(
    codes: Sequence[str], names: CodeNames, relations: pl.DataFrame, granularity: str = "full"
) -> pl.DataFrame:
    """RULE_SCHEMA: the rules that the candidates `codes` can break.

    `relations` are the `edition_notes` of `names`. Groups of the CCS have no rules; a task of categories has those that
    hold for whole categories.
    """
    if isinstance(names, Grouping):
        return pl.DataFrame(schema=RULE_SCHEMA)
    candidates = _Candidates.of(codes, _order_of(names))
    rules = [*_note_rules(candidates, relations), *_limit_rules(candidates, names.system)]
    if granularity == "full":
        incomplete = list(_incomplete_rules(candidates, relations))
        rules += incomplete if len(incomplete) <= MOST_INCOMPLETE * len(codes) else []
    return pl.DataFrame(rules, schema=RULE_SCHEMA, orient="row")


def _order_of(names: Ontology) -> CodeOrder:
    """The order of an edition; those with a package are ordered once."""
    return load_order(names.system) if ":" not in names.system else CodeOrder.of(names)


def _note_rules(candidates: _Candidates, relations: pl.DataFrame) -> Iterator[_Rule]:
    """Rules of the kinds `excludes1`, `code_first` and `use_additional`."""
    texts = pl.col("text").n_unique().over("node", "kind")
    notes = (
        relations.filter(pl.col("kind").is_in([EXCLUDES, FIRST, ADDITIONAL]))
        .with_columns(texts=texts)
        .drop_nulls("target_first")
        .group_by("kind", "node", "text", maintain_order=True)
        .agg("target_first", "target_last", pl.col("texts").first())
    )
    for kind, node, text, firsts, lasts, num_texts in notes.iter_rows():
        if kind != EXCLUDES and not (num_texts == 1 and _always_holds(kind, node, text)):
            continue
        subjects = candidates.within(node, node)
        if not subjects:
            continue
        about = set(subjects)
        named = (code for first, last in zip(firsts, lasts, strict=True) for code in candidates.within(first, last))
        objects = [code for code in dict.fromkeys(named) if code not in about]
        if objects:
            yield kind, node, text, subjects, objects


def _always_holds(kind: str, node: str, text: str) -> bool:
    """Whether a code of `node` never stands without one that the note names."""
    if is_heading(node) or _CONDITION.search(text):
        return False
    return kind == FIRST or not _IF_KNOWN.search(text)


def _incomplete_rules(candidates: _Candidates, relations: pl.DataFrame) -> Iterator[_Rule]:
    """One rule for each candidate with codes below it; its objects are the complete ones among the candidates.

    A code of ICD-10-CM that was complete in an earlier release, such as R51 before R51.9, is taken for complete: the
    record may be of that year.
    """
    order = candidates.order
    notes = relations.filter(pl.col("kind") == "seventh_character")
    text_of: dict[str, str] = dict(notes.unique("node", keep="first").select("node", "text").iter_rows())
    for code in candidates.codes:
        if order.is_leaf(code) or (order.system == "icd10cm" and was_complete_icd10_code(code.replace(".", ""))):
            continue
        below = [name for name in candidates.within(code, code) if name != code]
        complete = [name for name in below if order.is_leaf(name)]
        plain = code.replace(".", "")
        above = (name for length in range(len(plain), 2, -1) if (name := _shortened(code, length)) in text_of)
        text = text_of.get(next(above, ""), "further characters are to follow")
        yield INCOMPLETE, code, text, [code], complete


def _shortened(code: str, length: int) -> str:
    """The first `length` characters of a code, the dot not counted."""
    return code[:length] if length <= 3 else code[: length + 1]


def _limit_rules(candidates: _Candidates, system: str) -> Iterator[_Rule]:
    limits = patient_limits.ICD9 if system == "icd9cm" else patient_limits.ICD10
    for kind, (ranges, text) in limits.items():
        for codes in ranges.split():
            first, _, last = codes.partition("-")
            if subjects := candidates.within(first, last or first):
                yield kind, codes, text, subjects, []
