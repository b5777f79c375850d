"""`mera export`: what a run trained, fitted or fused as a folder that may be passed on, without anything of a patient.

Of the run's records only totals go along: the recipe without its paths, versions, the figures on the test split, the
data set's name. A fusion takes its parts along, each in a folder of its own.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import polars as pl
import yaml

from mera.commands.export.card import Card, stage_one_card, written_card
from mera.commands.export.model_files import (
    CARD,
    Copied,
    copy_checkpoint,
    copy_fitted,
    copy_index,
    keeps_words_of_notes,
    recipe_without_paths,
    shortened,
    spans_per_code,
)
from mera.commands.fusion.saved import copy_fusion, read_fusion
from mera.commands.predict import BASELINE, BI_ENCODER, FUSION, NOTES_BASELINE, STAGE_ONE, checkpoint_kind
from mera.language_models.licences import base_name
from mera.runs.figures import figure_intervals, main_figures
from mera.runs.finished_runs import ABOUT, CANDIDATES
from mera.runs.predictions import Predictions, read_predictions
from mera.system.errors import UserError
from mera.system.private_files import private_files
from mera.system.terminal import as_json

RECIPE, PARTS = "recipe.yaml", "parts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    folder: Path
    left_behind: list[str]
    """Files of the model that are not known to be safe, by their names in it."""
    totals: list[str]
    """Files that hold totals over training patients, which the card names."""
    words_of_notes: list[str]
    """Files that hold words of training notes or vectors of such, which the card names."""

    def sentences(self) -> list[str]:
        """What who made it should know."""
        said = {
            "left behind, no file of a model that is known": self.left_behind,
            "totals over training patients, no patient": self.totals,
            "words of training notes": self.words_of_notes,
        }
        return [f"{what}: {', '.join(names)}" for what, names in said.items() if names]


def export_run(run: str | Path, to: str | Path, with_note_phrases: bool = False) -> Export:
    """Write the folder `to`, complete or not at all.

    `with_note_phrases`: also a model that holds phrases or words of training notes, or vectors of them; such an export
    is its owner's alone. Raises UserError where `to` exists, `run` keeps no model, or it has such words and that was
    not asked for.
    """
    folder, final = Path(run), Path(to)
    if folder.name == "checkpoint" and not (folder / "checkpoint").is_dir():
        folder = folder.absolute().parent
    if final.exists():
        raise UserError(f"{final} already exists; choose another --to or remove it")
    manifest = _manifest(folder)
    words = list(_words_of_notes(folder))
    if words and not with_note_phrases:
        raise UserError(f"{words[0]}; --with-note-phrases exports it all the same, for those who may read these notes")
    beside = final.with_name(f".{final.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        with private_files() if words else nullcontext():
            beside.mkdir()
            copied = _write(folder, manifest, beside)
        beside.rename(final)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Export(
        folder=final,
        left_behind=copied.left_behind,
        totals=copied.totals,
        words_of_notes=copied.words_of_notes,
    )


def _manifest(folder: Path) -> Mapping[str, object]:
    """Raises UserError where the run is not finished, or keeps no model."""
    paths = (folder / "predictions" / "manifest.json", folder / "manifest.json")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UserError(f"{folder} is no finished run: it has no manifest.json; `mera runs` lists those that are")
    if checkpoint_kind(folder) is None:
        raise UserError(
            f"{folder} keeps no model to export, its predictions alone; `mera runs` shows what each run ranks"
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _words_of_notes(folder: Path) -> list[str]:
    """What is to be known before a run goes elsewhere, of itself or its parts; nothing where it has no words of notes.
    Raises UserError where a part of a fusion is not there, or keeps no model."""
    kind = checkpoint_kind(folder)
    if kind == FUSION:
        parts = read_fusion(folder).parts
        for part in parts:
            _manifest(part)
        return [said for part in parts for said in _words_of_notes(part)]
    if kind == BI_ENCODER and (spans := spans_per_code(folder)):
        return [
            f"{folder} compares each code by up to {spans} phrases that annotators marked in training notes, and its "
            f"index holds their vectors (docs/evidence.md)"
        ]
    if kind in (BASELINE, NOTES_BASELINE) and keeps_words_of_notes(folder):
        return [f"{folder} was fitted on notes and holds words of them"]
    return []


def _write(run: Path, manifest: Mapping[str, object], folder: Path) -> Copied:
    kind = checkpoint_kind(run)
    predictions = None if kind == STAGE_ONE else read_predictions(run)
    copied = _copy_model(run, kind, folder)
    if predictions is not None and kind in (BI_ENCODER, NOTES_BASELINE, FUSION):
        table = predictions.codes[: predictions.num_candidates]
        table.select("code", "definition", pl.col("train_count").cast(pl.Int64)).write_parquet(folder / CANDIDATES)
        copied.totals.append(CANDIDATES)
    task, config = manifest["task"], manifest["config"]
    assert isinstance(task, dict)
    assert isinstance(config, dict)
    figures = {} if predictions is None else rounded_figures(predictions)
    about = {
        "toolkit": f"mera {metadata.version('mera-icd')}",
        "kind": manifest["kind"],
        "model": manifest["model"],
        "task": {key: task[key] for key in ("name", "kind", "ontology", "edition", "text_rules") if key in task},
        "calibration": manifest.get("calibration"),
        "versions": manifest["versions"],
        "git_commit": manifest["git_commit"],
        "seed": manifest["seed"],
        "test": figures,
    }
    (folder / ABOUT).write_text(as_json(about), encoding="utf-8")
    recipe = yaml.safe_dump(recipe_without_paths(config), sort_keys=False, allow_unicode=True)
    (folder / RECIPE).write_text(f"# recipe of this model\n{recipe}", encoding="utf-8")
    if predictions is None:
        text = stage_one_card(run / "checkpoint" / CARD)
    else:
        text = written_card(_card(manifest, config, task, predictions, copied, folder))
    (folder / CARD).write_text(text, encoding="utf-8")
    return copied


def _copy_model(run: Path, kind: str | None, folder: Path) -> Copied:
    if kind == FUSION:
        return _copy_parts(run, folder)
    if kind in (BASELINE, NOTES_BASELINE):
        return copy_fitted(run, folder)
    copied = copy_checkpoint(run / "checkpoint", folder)
    if kind == BI_ENCODER:
        copied.words_of_notes.extend(copy_index(run, folder))
    return copied


def _copy_parts(run: Path, folder: Path) -> Copied:
    """Each part as an export of its own, and how they are fused."""
    copied, places = Copied(left_behind=[], totals=[], words_of_notes=[]), []
    for number, part in enumerate(read_fusion(run).parts, start=1):
        place = folder / PARTS / f"{number}-{part.name}"
        place.mkdir(parents=True)
        of_part = _write(part, _manifest(part), place)
        for all_of_them, names in (
            (copied.left_behind, of_part.left_behind),
            (copied.totals, of_part.totals),
            (copied.words_of_notes, of_part.words_of_notes),
        ):
            all_of_them.extend(f"{place.relative_to(folder)}/{name}" for name in names)
        places.append(place)
    copy_fusion(run, folder, places)
    return copied


def _card(
    manifest: Mapping[str, object],
    config: Mapping[str, object],
    task: Mapping[str, object],
    predictions: Predictions,
    copied: Copied,
    folder: Path,
) -> Card:
    base = _base(config)
    prompt, fusion = config.get("prompt"), manifest.get("fusion")
    return Card(
        kind=str(manifest["kind"]),
        model=str(manifest["model"]),
        base=base,
        base_shown=base_name(base) if base is None else shortened(base),
        data=str(task.get("name", "")),
        edition=str(task.get("edition") or task.get("ontology") or "an edition of its own"),
        task_kind=str(task.get("kind", "")),
        num_codes=predictions.num_candidates,
        num_test_patients=len(set(predictions.patient_ids)),
        figures=rounded_figures(predictions),
        intervals={_metric(name): interval for name, interval in figure_intervals(predictions).items()},
        totals=copied.totals,
        words_of_notes=copied.words_of_notes,
        parts=[part["model"] for part in fusion["parts"]] if isinstance(fusion, dict) else [],
        reads_past_notes=isinstance(prompt, dict) and bool(prompt.get("past_note_tokens")),
        num_events=_num_events(folder),
        verifies=(folder / "verification.json").is_file(),
        is_encoder_decoder=_is_encoder_decoder(folder),
    )


def _is_encoder_decoder(folder: Path) -> bool:
    path = folder / "config.json"
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("is_encoder_decoder"))


def _num_events(folder: Path) -> int:
    path = folder / "code_tokens.json"
    return len(json.loads(path.read_text(encoding="utf-8")).get("events", {})) if path.is_file() else 0


def rounded_figures(predictions: Predictions) -> dict[str, float]:
    """Those of `main_figures`, to four places, under the names of a card's metrics."""
    return {_metric(name): round(value, 4) for name, value in main_figures(predictions).items()}


def _metric(name: str) -> str:
    return name.lower().replace(" ", "_")


def _base(config: Mapping[str, object]) -> str | None:
    """The base model that a recipe names, of whichever stage."""
    for part, key in (("model", "base"), ("encoder", "pretrained")):
        settings = config.get(part)
        if isinstance(settings, dict) and isinstance(settings.get(key), str):
            return str(settings[key])
    return None
