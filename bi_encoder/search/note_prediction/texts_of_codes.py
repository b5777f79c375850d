"""Codes as people write them, and the texts that a bi-encoder reads of them in a history."""

from collections.abc import Iterator, Mapping, Sequence

from data.ontology import SYSTEMS, UnknownCode, load_ontology, undotted
from mera.system.errors import UserError


class TextsOfCodes(Mapping[str, str]):
    """Code -> what a history says of it: the definition of a candidate, or of another code of the ontology."""

    def __init__(self, codes: Sequence[str], definitions: Sequence[str], ontology: str | None):
        """codes (C), definitions (C), of which some may be empty; `ontology`: one of SYSTEMS, or None or another name
        where nothing is known of further codes."""
        self._texts = {
            code: text if text.strip() else f"ICD code {code}" for code, text in zip(codes, definitions, strict=True)
        }
        self._by_form = {undotted(code): code for code in codes}
        self._ontology = ontology if ontology in SYSTEMS else None

    def __getitem__(self, code: str) -> str:
        if code not in self._texts and self._ontology is not None:
            self._texts[code] = load_ontology(self._ontology).definition(code)
        return self._texts[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, texts: Mapping[str, str]) -> None:
        """What histories say of codes that are no candidates. A candidate's text stays as it is."""
        self._texts = {code: text for code, text in texts.items() if (text or "").strip()} | self._texts

    def read(self, raw: str) -> str:
        """The code that `raw` writes, with or without a dot. Raises UserError where it is none that is known here."""
        code = "".join(raw.split()).upper()
        if code in self._texts:
            return code
        if undotted(code) in self._by_form:
            return self._by_form[undotted(code)]
        if self._ontology is not None:
            try:
                return load_ontology(self._ontology).resolve(code)[0]
            except UnknownCode:
                pass
        raise UserError("a code of the history is none that the model's edition has; leave it out")
