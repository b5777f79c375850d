"""Codes as people write them -> the codes that a model has tokens for, as `mera prepare` reads those of a table.

`i509`, ` I50.9 ` and `I50.9 Heart failure` are I50.9; a model of categories reads I50.9 as I50, and a code that its
edition has not in full as the category; one of CCS groups reads the group that a code falls into; a retired code is its
ancestor.
"""

import functools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import polars as pl

from data.codes.ccs import load_ccs
from data.codes.code_columns import Resolve, by_ontology
from data.ontology import SYSTEMS, Ontology, UnknownCode, load_ontology, undotted
from data.sources.shared.own_table.named_codes import bare_codes
from rank.patients.trained_on import TrainedOn

GROUPED_SYSTEMS = {"ccs": "icd9cm", "ccsr": "icd10cm"}
"""ontology of a task of groups -> that of the codes in them"""
UNNAMED_SYSTEMS = ("icd9cm", "icd10cm")
"""What a checkpoint that does not say its ontology can have been trained on: an older version knew no others."""
ICD10_CODE = re.compile(r"([A-Z]\d[0-9A-Z])(?:\.[0-9A-Z]+|[0-9A-Z]*)")
"""A code of any edition of ICD-10, whose category is its first three characters."""
MARKS = "+*!#†‡-. "
"""What tables of national editions write behind a code."""
LOOKED_AT = 200
"""Codes that are tried when the likeliest edition is asked for."""


MOST_KEPT = 100_000
"""Spellings whose code is kept; a server reads for weeks."""


class CodeReader:
    """Reads codes for a model that knows `codes`."""

    def __init__(self, codes: Collection[str], trained_on: TrainedOn):
        self.codes, self.trained_on = set(codes), trained_on
        # Without dots two codes may look alike; such a form is left to the ontology.
        written = Counter(map(undotted, self.codes))
        self._by_form = {undotted(code): code for code in self.codes if written[undotted(code)] == 1}
        self._by_form |= {code.upper(): code for code in self.codes}
        self._read: dict[str, str] = {}

    def read(self, raw: str) -> str:
        """The model's code that `raw` writes. One that the model does not know comes in the canonical form of the
        model's ontology, or as it is, without spaces, where it is no code there."""
        if raw in self._read:
            return self._read[raw]
        code = self._find(raw)
        if len(self._read) < MOST_KEPT:
            self._read[raw] = code
        return code

    def visits(self, history: Iterable[Iterable[str]]) -> list[list[str]]:
        return [[self.read(code) for code in visit] for visit in history]

    def is_code(self, code: str) -> bool:
        """Whether a code as read is one of the model, or of its edition, as far as that can be told."""
        if code in self.codes or self.system is None:
            return True
        if self.trained_on.ontology in GROUPED_SYSTEMS and code in self._groups:
            return True
        return _has(load_ontology(self.system), code)

    @functools.cached_property
    def _groups(self) -> frozenset[str]:
        """The groups that the codes of the edition fall into."""
        return frozenset() if self.system is None else frozenset(load_ccs(self.system).leaves())

    def unknown(self, history: Iterable[Iterable[str]]) -> list[str]:
        """The codes of visits as read that the model does not know, once for each visit that has them."""
        return [code for visit in history for code in dict.fromkeys(visit) if code not in self.codes]

    @functools.cached_property
    def system(self) -> str | None:
        """The ontology of the codes that may be given. Where the checkpoint does not say, the only one that has most
        of the model's codes."""
        said = self.trained_on.ontology
        if said is not None:
            return GROUPED_SYSTEMS.get(said, said if said in SYSTEMS else None)
        having = [system for system in UNNAMED_SYSTEMS if _share(sorted(self.codes), load_ontology(system)) > 0.9]
        return having[0] if len(having) == 1 else None

    def why_unknown(self, codes: Sequence[str]) -> str:
        """The likeliest cause, as the end of a sentence, that most of `codes` are unknown to the model."""
        own = None if self.system is None else load_ontology(self.system)
        whose = self.trained_on.edition or ("others" if own is None else own.edition)
        tried = list(dict.fromkeys(codes))[:LOOKED_AT]
        if own is not None and _share(tried, own) > 0.5:
            return f"they are codes of {own.edition}, but the model was not trained on them"
        for system in SYSTEMS:
            if system != self.system and _share(tried, load_ontology(system)) > 0.5:
                return f"they are codes of {load_ontology(system).edition}, the model's are of {whose}"
        return f"they are no codes of an edition known here, the model's are of {whose}"

    def _find(self, raw: str) -> str:
        text = re.sub(r"\s+", "", raw)
        if text.upper() in self._by_form:
            return self._by_form[text.upper()]
        code = self._canonical(text) or self._canonical(self._without_words(raw))
        return text.upper() if code is None else code

    def _without_words(self, raw: str) -> str:
        """A cell as tables have it, without the name of its code; empty where its words take the code back."""
        edition = None if self.system is None else load_ontology(self.system)
        code = bare_codes(pl.Series([raw.strip()], dtype=pl.String), edition).codes[0]
        return re.sub(r"\s+", "", code or "")

    def _canonical(self, text: str) -> str | None:
        """By the ontology and the granularity of the model; None where it is no code there."""
        if self.system is None:
            return self._without_edition(text.upper().rstrip(MARKS))
        ontology = load_ontology(self.system)
        try:
            code = self._resolve(text).codes[0]
        except UnknownCode:
            return None
        if self.trained_on.ontology in GROUPED_SYSTEMS:
            return load_ccs(self.system).group_of(code) or code
        if code in self.codes or not self._of_categories:
            return code
        return ontology.groups(code)["category"]

    @functools.cached_property
    def _resolve(self) -> Resolve:
        """As `mera prepare` resolves the codes of a table; the edition must be known."""
        assert self.system is not None, "asked for only where the edition is known"
        return by_ontology(load_ontology(self.system), "category" if self._of_categories else "full")

    def _without_edition(self, text: str) -> str | None:
        """By the model's own codes, where the table of its edition is not at hand: a code that they hold, or its
        category where the model is one of categories. Whether the edition has any other code cannot be told."""
        if text in self._by_form:
            return self._by_form[text]
        code = ICD10_CODE.fullmatch(text)
        if code is None or self.trained_on.granularity != "category":
            return None
        return code[1] if code[1] in self.codes else None

    @functools.cached_property
    def _of_categories(self) -> bool:
        if self.trained_on.granularity is not None:
            return self.trained_on.granularity == "category"
        return self.system is not None and all("." not in code for code in self.codes)


def _share(codes: Sequence[str], ontology: Ontology) -> float:
    """Of some codes spread over all of them: the share that `ontology` has."""
    tried = codes[:: max(1, len(codes) // LOOKED_AT)]
    return sum(_has(ontology, code) for code in tried) / max(1, len(tried))


def _has(ontology: Ontology, code: str) -> bool:
    try:
        ontology.resolve(code)
    except UnknownCode:
        return False
    return True
