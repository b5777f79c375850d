"""A fitted baseline in the folder of its run, so that it can score notes that no task has."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import lightgbm
import numpy as np

from bi_encoder.baselines.dictionary import Dictionary
from bi_encoder.baselines.name_models import EncoderScorer, NameModel, OpenModel, WordScorer
from bi_encoder.baselines.phrase_trees import PhraseTrees
from bi_encoder.baselines.word_features import WordModel
from bi_encoder.evidence.attended_spans import Span
from mera.runs.fitted_contents import SETTINGS, Contents, read_contents, write_contents
from mera.system.errors import UserError

FOLDER = "fitted"
"""In the folder of a run."""
MARK = f"{FOLDER}/{SETTINGS}"


class Fitted(Protocol):
    """What scores notes. N texts, C codes: the candidates of the task that it was fitted on."""

    @property
    def kind(self) -> str: ...

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(N, C) float32."""
        ...

    def evidence(self, note: str, columns: np.ndarray) -> list[list[Span]]:
        """For each code of `columns` where in the note it found it; none where it cannot say."""
        ...

    def contents(self) -> Contents: ...


READERS: dict[str, Callable[[Contents, OpenModel], Fitted]] = {
    Dictionary.kind: lambda contents, _: Dictionary.from_contents(contents),
    PhraseTrees.kind: lambda contents, _: PhraseTrees.from_contents(contents),
    WordModel.kind: lambda contents, _: WordModel.from_contents(contents),
    WordScorer.kind: lambda contents, _: NameModel.from_contents(contents, WordScorer.from_contents(contents)),
    EncoderScorer.kind: lambda contents, open_model: NameModel.from_contents(
        contents, EncoderScorer.from_contents(contents, open_model)
    ),
}


def write_fitted(run: Path, model: Fitted, threshold: float) -> None:
    """Keep `model`, and the score above which it predicts, in the folder of a run that is being written."""
    contents = model.contents()
    settings = {"kind": model.kind, "threshold": threshold, **contents.settings}
    write_contents(run / FOLDER, replace(contents, settings=settings))


def read_fitted(run: Path, open_model: OpenModel) -> tuple[Fitted, float]:
    """The model and its threshold. `open_model` opens the encoder of one that has an encoder. Raises UserError where a
    file is missing, damaged or of a later version."""
    contents = read_contents(run / FOLDER)
    try:
        return READERS[contents.text("kind")](contents, open_model), contents.number("threshold")
    except UserError:  # of the encoder
        raise
    except (KeyError, IndexError, TypeError, ValueError, lightgbm.basic.LightGBMError):
        raise UserError(f"{run / FOLDER} is damaged, or of a later version; make the run again") from None
