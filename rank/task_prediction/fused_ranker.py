"""Several rankers fused, as a run of `mera fuse` has it. P parts, N patients, C candidates."""

from collections.abc import Mapping, Sequence

import numpy as np

from data.task_folder.features import PatientRow
from mera.commands.fusion.saved import SavedFusion
from rank.decision import DecisionRule
from rank.patients.patient_ranker import PatientRanker, Tell
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker


class FusedRanker(PatientRanker):
    def __init__(
        self,
        parts: Sequence[PatientRanker],
        fusion: SavedFusion,
        called: str,
        train_counts: np.ndarray,
        calibration: Mapping[str, float],
    ):
        """`parts`: with the same candidates, in the order of the fusion; train_counts (C,) int; `calibration`: `slope`
        and `intercept` over the fusion's threshold."""
        first = parts[0]
        super().__init__(
            first.candidates,
            {code: text for part in reversed(parts) for code, text in part.definitions.items()},
            DecisionRule.constant(fusion.threshold, calibration),
            shown_to_any([part.trained_on for part in parts]),
            next((part.rule_table for part in parts if part.rule_table is not None), None),
            {event: name for part in parts for event, name in part.events.items()},
        )
        self.parts, self.fusion, self.called, self.train_counts = parts, fusion, called, train_counts
        self.reads_unknown_codes = next(
            (part.reads_unknown_codes for part in parts if isinstance(part, Ranker)), self.reads_unknown_codes
        )

    @property
    def reads_past_notes(self) -> bool:
        return any(part.reads_past_notes for part in self.parts)

    def add_definitions(self, definitions: Mapping[str, str]) -> None:
        for part in self.parts:
            part.add_definitions(definitions)

    def score(
        self, rows: Sequence[PatientRow], batch_size: int = 64, tell: Tell | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `PatientRanker.score`."""
        of_parts = []
        for part, over_threshold in zip(self.parts, self.fusion.over_threshold, strict=True):
            scores, eov = part.score(rows, batch_size, tell)
            of_parts.append(scores - part.rule.thresholds(scores, eov)[:, None] if over_threshold else scores)
        fused = self.fusion.scores(np.stack(of_parts).astype(np.float32), self.train_counts)
        return fused, np.zeros(len(rows), dtype=np.float32)


def shown_to_any(parts: Sequence[TrainedOn]) -> TrainedOn:
    """What any of the parts, which are of one task, was trained on."""
    first = parts[0]
    return TrainedOn(
        ontology=first.ontology,
        edition=first.edition,
        granularity=first.granularity,
        history=_any([part.history for part in parts]),
        note=_any([part.note for part in parts]),
        age=_any([part.age for part in parts]),
        sex=_any([part.sex for part in parts]),
    )


def _any(known: Sequence[bool | None]) -> bool | None:
    """None where nothing is known of one, and the others say no."""
    return True if True in known else None if None in known else False
