"""A fitted baseline as a ranker of patients, and how it is kept.

fitted/               in the folder of its run
  ranking.json        candidates, what else it reads, the rule of its decisions, what it was trained on
  rules.parquet       the coding rules, where the task has them
  model.json          its kind and settings
  arrays.safetensors  what was fitted (mera/runs/fitted_contents.py)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl

from data.task import Task
from data.task_folder.features import PatientRow
from mera.runs.fitted_contents import Contents, read_contents, write_contents
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.system.private_files import private_files
from rank.baselines.fitted.model import FittedBaseline
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.item_item import Ease, ItemKnn
from rank.baselines.linear import Linear
from rank.baselines.neural.training import RETAIN, TRANSFORMER, Neural
from rank.baselines.simple import OwnHistory, Popularity
from rank.baselines.trees.gbdt import Trees
from rank.decision import DecisionRule
from rank.patients.patient_ranker import SETTINGS_FILE, PatientRanker, Tell, read_rules
from rank.patients.trained_on import TrainedOn
from rank.patients.visit_events import event_names

FOLDER = "fitted"
MARK = f"{FOLDER}/{SETTINGS_FILE}"

READERS: dict[str, Callable[[Contents, HistoryColumns], FittedBaseline]] = {
    Popularity.kind: Popularity.from_contents,
    OwnHistory.kind: OwnHistory.from_contents,
    Linear.kind: Linear.from_contents,
    Ease.kind: Ease.from_contents,
    ItemKnn.kind: ItemKnn.from_contents,
    Trees.kind: Trees.from_contents,
    RETAIN: Neural.from_contents,
    TRANSFORMER: Neural.from_contents,
}
READ_EVENTS = frozenset({Linear.kind, Ease.kind, Trees.kind, RETAIN, TRANSFORMER})
READ_DEMOGRAPHICS = frozenset({Linear.kind, Trees.kind, RETAIN, TRANSFORMER})
"""Age and sex."""


class BaselineRanker(PatientRanker):
    """A fitted baseline, its one threshold, and the definitions of all codes that it reads."""

    def __init__(
        self,
        model: FittedBaseline,
        called: str,
        columns: HistoryColumns,
        definitions: Mapping[str, str],
        rule: DecisionRule,
        trained_on: TrainedOn,
        rules: pl.DataFrame | None = None,
        events: Mapping[str, str] | None = None,
    ):
        super().__init__(columns.candidates, definitions, rule, trained_on, rules, events)
        self.model, self.called, self.columns = model, called, columns

    @classmethod
    def of_task(
        cls, model: FittedBaseline, called: str, task: Task, threshold: float, calibration: Mapping[str, float]
    ) -> "BaselineRanker":
        """`model` as it was fitted on `task`; `calibration`: `slope` and `intercept` over the threshold."""
        columns, definitions = HistoryColumns.of_task(task), task.all_definitions
        return cls(
            model,
            called,
            columns,
            {code: definitions[code] for code in columns.of_codes},
            DecisionRule.constant(threshold, calibration),
            TrainedOn.shown_by(task, note=model.kind == Linear.kind, demographics=model.kind in READ_DEMOGRAPHICS),
            task.rules,
            event_names(task) if model.kind in READ_EVENTS else None,
        )

    @classmethod
    def load(cls, run: Path) -> "BaselineRanker":
        """The baseline in the folder of its run. Raises UserError where a file is damaged or of a later version."""
        folder = run / FOLDER
        contents = read_contents(folder)
        try:
            saved = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            columns = HistoryColumns(
                candidates=saved["candidates"],
                others=saved["others"],
                events=list(saved["events"]),
                linked=saved.get("linked"),
            )
            return cls(
                READERS[contents.text("kind")](contents, columns),
                saved["called"],
                columns,
                saved["definitions"],
                DecisionRule(**saved["rule"]),
                TrainedOn.read(saved["trained_on"]),
                read_rules(folder),
                saved["events"],
            )
        except (OSError, ValueError, LookupError, TypeError, RuntimeError, lightgbm.basic.LightGBMError):
            raise UserError(f"{folder} is damaged, or of a later version; make the run again") from None

    def save(self, run: RunDirectory) -> None:
        """Keep it in the folder of a run that is being written."""
        contents, folder = self.model.contents(), run.path(FOLDER)
        write_contents(folder, replace(contents, settings={"kind": self.model.kind, **contents.settings}))
        with private_files():
            self.write_settings(
                folder / SETTINGS_FILE,
                called=self.called,
                others=list(self.columns.others),
                linked=self.columns.linked,
                events=self.events,
                definitions=self.definitions,
            )

    def score(
        self, rows: Sequence[PatientRow], batch_size: int = 64, tell: Tell | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `PatientRanker.score`. `batch_size` changes nothing, since a baseline sizes its batches itself, and `tell`
        is told nothing: it reads whole histories, and who asks names unknown codes."""
        return self.model.scores(rows), np.zeros(len(rows), dtype=np.float32)
