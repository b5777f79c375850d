"""What a checkpoint of stage two was trained on: whose codes they are, and what of a patient it has seen.

`ranking.json` holds it. A checkpoint of an older version says nothing: every field is None, and nothing is refused for
it.
"""

from dataclasses import dataclass
from typing import TypedDict

import pyarrow.compute as pc

from data.task import Task
from rank.config import PromptConfig


class SavedTrainedOn(TypedDict, total=False):
    """`TrainedOn` in ranking.json."""

    ontology: str | None
    edition: str | None
    granularity: str | None
    history: bool | None
    note: bool | None
    age: bool | None
    sex: bool | None
    text_rules: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedOn:
    ontology: str | None = None
    """`icd9cm`, `icd10cm`, or `ccs`, `ccsr` for their groups, as task.json has it"""
    edition: str | None = None
    granularity: str | None = None
    """`full`, `category` or `ccs`: `mera prepare --granularity`"""
    history: bool | None = None
    """whether any training example had a visit before the target's"""
    note: bool | None = None
    """whether any training example had a note, and the prompt has room for one"""
    age: bool | None = None
    """whether any training example had one, and the prompt says it; `sex` likewise"""
    sex: bool | None = None
    text_rules: str | None = None
    """by which its notes were cleaned: `mera prepare --rules`"""

    @classmethod
    def of_task(cls, task: Task, prompt: PromptConfig) -> "TrainedOn":
        """What training on `task` with this prompt shows to a model."""
        return cls.shown_by(task, note=prompt.max_text_tokens > 0, demographics=prompt.demographics)

    @classmethod
    def shown_by(cls, task: Task, *, note: bool, demographics: bool) -> "TrainedOn":
        """What training on `task` shows to a model of histories; `note`, `demographics`: whether it reads those."""
        train, rules = task.splits["train"].data, task.info.get("options", {}).get("rules")
        lengths = pc.sum(pc.list_value_length(train.column("history"))).as_py()
        return cls(
            ontology=task.info.get("ontology"),
            edition=task.info.get("edition"),
            granularity=task.granularity,
            history=bool(lengths),
            note=note and train.column("text").null_count < train.num_rows,
            age=demographics and train.column("age").null_count < train.num_rows,
            sex=demographics and train.column("sex").null_count < train.num_rows,
            text_rules=rules if isinstance(rules, str) else None,
        )

    @classmethod
    def read(cls, saved: SavedTrainedOn) -> "TrainedOn":
        """From ranking.json; what a later version may have added is left out."""
        return cls(
            ontology=saved.get("ontology"),
            edition=saved.get("edition"),
            granularity=saved.get("granularity"),
            history=saved.get("history"),
            note=saved.get("note"),
            age=saved.get("age"),
            sex=saved.get("sex"),
            text_rules=saved.get("text_rules"),
        )
