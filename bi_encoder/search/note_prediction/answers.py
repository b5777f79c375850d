"""What the engine of the bi-encoder answers to `mera serve`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from data.codes.book.display.code_page import CodePage, code_page
from data.ontology import SYSTEMS
from mera.commands.serve.answering import NotThere
from mera.system.errors import UserError


class NoteAnswers:
    """Answers of one ranker of notes."""

    def __init__(self, ranker: NoteRanker):
        """Raises UserError where it was trained on histories."""
        if ranker.reads == "diagnosis":
            raise UserError("this bi-encoder was trained on histories; mera serve takes one that reads notes")
        self.ranker = ranker
        self.known = dict(zip(ranker.codes, ranker.definitions, strict=True))

    def about(self) -> Mapping[str, object]:
        return {
            "kind": "notes",
            "model": self.ranker.scorer.called,
            "edition": self.ranker.edition,
            "reads_history": False,
            "reads_notes": True,
            "has_rules": False,
            "candidates": [{"code": code, "definition": text} for code, text in self.known.items()],
        }

    def note(self, request: Mapping[str, object]) -> Mapping[str, object]:
        """`text`, `age`, `sex`, `top` -> the codes with their evidence. Raises UserError where the text is blank."""
        row = self.ranker.row(
            text=cast("str", request["text"]),
            age=cast("int | None", request["age"]),
            sex=cast("str | None", request["sex"]),
        )
        threshold = self.ranker.scorer.threshold
        with self.ranker.scorer.reading_once():
            scores = self.ranker.score([row])
            codes = self.ranker.ranked([row], scores, cast("int", request["top"]))[0]
        return {
            "codes": [asdict(code) | {"place": place, "rules": None} for place, code in enumerate(codes, start=1)],
            "predicted": 0 if threshold is None else int((scores > threshold).sum()),
        }

    def code(self, request: Mapping[str, object]) -> CodePage:
        """Raises NotThere where neither the edition nor the candidates have the code."""
        system = self.ranker.ontology if self.ranker.ontology in SYSTEMS else None
        page = code_page(str(request["code"]).strip().upper(), system, self.known)
        if page is None:
            raise NotThere("the model's edition has no such code")
        return page

    def warm_up(self) -> None:
        """Read the edition, which the first page of a code needs."""
        self.code({"code": self.ranker.codes[0]})
