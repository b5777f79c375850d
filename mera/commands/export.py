"""`mera export`: what a run trained as a folder that may be passed on, ready for a hub, without anything of a patient.

Files are copied by name: what is not listed here stays behind and is named. Of the run's records only totals go along:
the recipe without its paths, versions, the figures on the test split, the data set's name.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import polars as pl
import yaml

from mera.commands.export_card import Card, stage_one_card, written_card
from mera.language_models.licences import base_name, is_hub_name
from mera.runs.figures import figure_intervals, main_figures
from mera.runs.predictions import Predictions, read_predictions
from mera.system.errors import UserError

ABOUT, RECIPE, CARD, CANDIDATES, INDEX = "mera.json", "recipe.yaml", "README.md", "candidates.parquet", "index"
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
FILES = frozenset(
    {
        *("config.json", "generation_config.json", "chat_template.jinja"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
        *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
        *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "router_config.json"),
        *("code_tokens.json", "memorized.json", "ranking.json", "recurrence.npy", "wide.safetensors", "rules.parquet"),
        *("verification.json", "verification.safetensors", "bi_encoder.json", "label_attention.safetensors"),
    }
)
"""What a checkpoint may hold: weights, tokenizer, settings, candidates. None has a row of a patient."""
MODULES = re.compile(r"(query_|document_)?\d+_[A-Za-z]+")
"""Folders of the parts of a sentence-transformers model."""
LEFT_OUT = (CARD, INDEX)
"""Of a checkpoint: the card is written anew, an index of an ontology is made again by the first search."""
PATHS = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file", "task_fingerprint", "task", "output")
"""Keys of settings that say where something lay, or which rows they were."""
KINDS = ("memorize", "rank", "bi_encoder")


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    folder: Path
    left_behind: list[str]
    """Files of the checkpoint that are not known to be safe, by their names in it."""
    totals: list[str]
    """Files that hold totals over training patients, which the card names."""


def export_run(run: str | Path, to: str | Path, with_note_phrases: bool = False) -> Export:
    """Write the folder `to`, complete or not at all.

    `with_note_phrases`: also where the vectors of candidates are partly those of phrases of training notes. Raises
    UserError where `to` exists, `run` trained no model, or it has such vectors and that was not asked for.
    """
    folder, final = Path(run), Path(to)
    if folder.name == "checkpoint" and not (folder / "checkpoint").is_dir():
        folder = folder.absolute().parent
    if final.exists():
        raise UserError(f"{final} already exists; choose another --to or remove it")
    manifest = _manifest(folder)
    _check_phrases(manifest, folder, with_note_phrases)
    beside = final.with_name(f".{final.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        export = _write(folder, manifest, beside)
        beside.rename(final)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Export(folder=final, left_behind=export.left_behind, totals=export.totals)


def _manifest(folder: Path) -> Mapping[str, object]:
    paths = (folder / "predictions" / "manifest.json", folder / "manifest.json")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UserError(f"{folder} is no finished run: it has no manifest.json; `mera runs` lists those that are")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("kind") not in KINDS or not (folder / "checkpoint").is_dir():
        raise UserError(f"{folder} has no checkpoint to export; only stage one, stage two and the bi-encoder leave one")
    return dict(manifest)


def _check_phrases(manifest: Mapping[str, object], folder: Path, with_note_phrases: bool) -> None:
    record = folder / "checkpoint" / "bi_encoder.json"
    if manifest["kind"] != "bi_encoder" or with_note_phrases or not record.is_file():
        return
    spans = json.loads(record.read_text(encoding="utf-8")).get("spans_per_code", 0)
    if spans:
        raise UserError(
            f"{folder} compares each code by up to {spans} phrases that annotators marked in training notes, and its "
            f"index holds their vectors (docs/evidence.md); --with-note-phrases exports them all the same"
        )


def _write(run: Path, manifest: Mapping[str, object], folder: Path) -> Export:
    checkpoint, kind = run / "checkpoint", str(manifest["kind"])
    left_behind = []
    for path in sorted(path for path in checkpoint.rglob("*") if not path.is_dir()):
        name = path.relative_to(checkpoint)
        if name.parts[0] in LEFT_OUT:
            continue
        if path.is_symlink() or not _is_known(name):
            left_behind.append(str(name))
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json" and path.name not in ("tokenizer.json", "vocab.json", "code_tokens.json"):
            settings = without_paths(json.loads(path.read_text(encoding="utf-8")))
            (folder / name).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            shutil.copyfile(path, folder / name)
    predictions = None if kind == "memorize" else read_predictions(run)
    figures = {} if predictions is None else rounded_figures(predictions)
    intervals = {} if predictions is None else figure_intervals(predictions)
    task = manifest["task"]
    assert isinstance(task, dict)
    config = manifest["config"]
    assert isinstance(config, dict)
    totals = [name for name in ("wide.safetensors", "recurrence.npy") if (folder / name).is_file()]
    if kind == "bi_encoder" and predictions is not None:
        _write_candidates(run, predictions, folder)
        totals.append(CANDIDATES)
    about = {
        "toolkit": f"mera {metadata.version('mera-icd')}",
        "kind": kind,
        "model": manifest["model"],
        "task": {key: task[key] for key in ("name", "kind", "ontology", "edition") if key in task},
        "calibration": manifest.get("calibration"),
        "versions": manifest["versions"],
        "git_commit": manifest["git_commit"],
        "seed": manifest["seed"],
        "test": figures,
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    recipe = yaml.safe_dump(recipe_without_paths(config), sort_keys=False, allow_unicode=True)
    (folder / RECIPE).write_text(f"# recipe of this model\n{recipe}", encoding="utf-8")
    base = _base(config)
    card = Card(
        kind=kind,
        model=str(manifest["model"]),
        base=base,
        base_shown=base_name(base) if base is None else str(_shortened(base)),
        data=str(task.get("name", "")),
        edition=str(task.get("edition") or task.get("ontology") or "an edition of its own"),
        task_kind=str(task.get("kind", "")),
        num_codes=None if predictions is None else predictions.num_candidates,
        num_test_patients=None if predictions is None else len(set(predictions.patient_ids)),
        figures=figures,
        intervals={_metric(name): interval for name, interval in intervals.items()},
        totals=totals,
        reads_past_notes=bool(config.get("prompt", {}).get("past_note_tokens")),
        num_events=_num_events(folder),
        verifies=(folder / "verification.json").is_file(),
        is_encoder_decoder=_is_encoder_decoder(folder),
    )
    text = stage_one_card(checkpoint / CARD) if kind == "memorize" else written_card(card)
    (folder / CARD).write_text(text, encoding="utf-8")
    return Export(folder=folder, left_behind=left_behind, totals=totals)


def _is_encoder_decoder(folder: Path) -> bool:
    path = folder / "config.json"
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("is_encoder_decoder"))


def _num_events(folder: Path) -> int:
    path = folder / "code_tokens.json"
    return len(json.loads(path.read_text(encoding="utf-8")).get("events", {})) if path.is_file() else 0


def _is_known(name: Path) -> bool:
    in_module = len(name.parts) == 1 or (len(name.parts) == 2 and MODULES.fullmatch(name.parts[0]) is not None)
    return in_module and (name.name in FILES or WEIGHTS.fullmatch(name.name) is not None)


def _write_candidates(run: Path, predictions: Predictions, folder: Path) -> None:
    """What `mera predict` reads beside a bi-encoder: its candidates and their vectors."""
    index = run / "index" / "codes.safetensors"
    if not index.is_file():
        raise UserError(f"{run} has no {index.relative_to(run)}, which the model ranks by; train it again")
    (folder / INDEX).mkdir()
    shutil.copyfile(index, folder / INDEX / "codes.safetensors")
    table = predictions.codes[: predictions.num_candidates]
    table.select("code", "definition", pl.col("train_count").cast(pl.Int64)).write_parquet(folder / CANDIDATES)


def rounded_figures(predictions: Predictions) -> dict[str, float]:
    """Those of `main_figures`, to four places, under the names of a card's metrics."""
    return {_metric(name): round(value, 4) for name, value in main_figures(predictions).items()}


def _metric(name: str) -> str:
    return name.lower().replace(" ", "_")


def without_paths(settings: object) -> object:
    """Settings without the keys that say where something lay on this machine."""
    if isinstance(settings, dict):
        return {key: without_paths(value) for key, value in settings.items() if key not in PATHS}
    return [without_paths(value) for value in settings] if isinstance(settings, list) else settings


def recipe_without_paths(config: Mapping[str, object]) -> dict[str, object]:
    """A run's configuration without its task and output, and with the last name of each other path."""
    return {
        key: recipe_without_paths(value) if isinstance(value, dict) else _shortened(value)
        for key, value in config.items()
        if key not in PATHS
    }


def _shortened(value: object) -> object:
    if not isinstance(value, str) or "/" not in value or value.startswith("package:") or is_hub_name(value):
        return value
    *_, parent, name = ["", *Path(value).parts]
    return f"{parent}/{name}" if name == "checkpoint" and parent not in ("", "/") else name


def _base(config: Mapping[str, object]) -> str | None:
    """The base model that a recipe names, of whichever stage."""
    for part, key in (("model", "base"), ("encoder", "pretrained")):
        settings = config.get(part)
        if isinstance(settings, dict) and isinstance(settings.get(key), str):
            return str(settings[key])
    return None
