"""The model card beside a checkpoint: what it was trained on, what it knows, whose licence it is under."""

import importlib.metadata
from pathlib import Path

import yaml
from transformers.utils import cached_file

from data.inspection.summary import percent
from memorize.code_sets.code_set import CodeSet
from memorize.config import MemorizeConfig
from memorize.measurement import RecallRecord
from mera.language_models.models import PACKAGE_PREFIX, ModelConfig

UNKNOWN_LICENCE = "unknown: see the base model"
FROM_SCRATCH = "none: built from its configuration, with random weights"
LICENCE_KEYS = ("License-Expression", "License")
"""Where a package's metadata state its licence; the first is an SPDX identifier, the second free text."""


def base_licence(model: ModelConfig) -> str | None:
    """The licence of the base model as its own model card or its package states it; UNKNOWN_LICENCE where neither
    does, None where there is no base model."""
    if model.base is None:
        return None
    if model.base.startswith(PACKAGE_PREFIX):
        return _package_licence(model.base.removeprefix(PACKAGE_PREFIX).partition("/")[0])
    beside_weights = Path(model.base).expanduser() / "README.md"
    card: Path | None = None
    if beside_weights.is_file():
        card = beside_weights
    elif _is_hub_name(model.base):
        card = _hub_card(model.base)
    if card is None:
        return UNKNOWN_LICENCE
    front = card.read_text(encoding="utf-8").split("---")
    values = yaml.safe_load(front[1]) if len(front) > 2 and not front[0].strip() else None
    stated = values.get("license") if isinstance(values, dict) else None
    return str(stated) if stated else UNKNOWN_LICENCE


def model_card(config: MemorizeConfig, code_set: CodeSet, recall: RecallRecord) -> str:
    """README.md of a checkpoint: names and totals only, nothing of a patient."""
    licence = base_licence(config.model)
    # The hub knows licences by identifier; free text belongs under `other`.
    known = licence is not None and licence != UNKNOWN_LICENCE
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["icd", "medical-coding", "mera-stage-one"],
        "language": ["en"],
        **({"license": licence} if known else {}),
        **({"base_model": config.model.base} if _is_hub_name(config.model.base) else {}),
    }
    method = f"LoRA of rank {config.model.lora.rank}, merged" if config.model.lora.rank else "all parameters trained"
    tokens = "one token each" if config.questions.atomic_tokens else "written as text"
    measured = {"pretrained": recall.get("pretrained_as_text"), "before": recall["before"], "after": recall["after"]}
    columns = {name: shares for name, shares in measured.items() if shares is not None}
    kinds = dict.fromkeys(kind for shares in columns.values() for kind in shares)
    rows = [
        f"| {kind.replace('_', ' ')} | " + " | ".join(percent(shares.get(kind)) for shares in columns.values()) + " |"
        for kind in kinds
    ]
    perplexity = recall["perplexity"]
    replay = f"; {config.replay:.0%} of the training examples were general text" if config.replay else ""
    return "\n".join(
        [
            "---",
            yaml.safe_dump(front, sort_keys=False).strip(),
            "---",
            "",
            f"# A language model that memorized {len(code_set.codes):,} ICD codes",
            "",
            "Stage one of a MERA toolkit run (method: Ma et al., *Memorize and Rank*, arXiv 2501.17326). It is a",
            "starting point for ranking codes, not a medical device.",
            "",
            f"- Base model: {_base_name(config.model)}",
            f"- Licence of the base model: {licence or 'there is no base model; the weights were random'}",
            f"- Codes: {len(code_set.codes):,} of {code_set.edition}, {tokens}",
            f"- Trained on: questions about their definitions, groups ({', '.join(config.questions.levels) or 'none'}) "
            f"and {_names(code_set, config)} in {config.questions.phrasings} wordings{replay}. No patient's data",
            f"- Training: {method}; learning rate {config.training.learning_rate}, batch {config.training.batch_size}, "
            f"seed {config.training.seed}",
            f"- Perplexity on general English text that was never trained on: {perplexity['before']:,.1f} before, "
            f"{perplexity['after']:,.1f} after",
            "",
            "Exact match over all codes. The held-out wording and the held-out synonyms were never trained on.",
            "",
            "| question | " + " | ".join(columns) + " |",
            "|---|" + "---|" * len(columns),
            *rows,
            "",
            f"{recall['ambiguous_codes']} codes share their definition with another code; each of them is right.",
            "",
        ]
    )


def _names(code_set: CodeSet, config: MemorizeConfig) -> str:
    if code_set.book is None or not config.questions.mixture.term_to_code:
        return "synonyms"
    return f"synonyms and the terms of a code book ({', '.join(code_set.book['sources'])})"


def _base_name(model: ModelConfig) -> str:
    if model.base is None:
        return FROM_SCRATCH
    # A path on this machine says nothing elsewhere, and may name a person.
    return model.base if _is_hub_name(model.base) or model.base.startswith(PACKAGE_PREFIX) else Path(model.base).name


def _is_hub_name(base: str | None) -> bool:
    return base is not None and not base.startswith(PACKAGE_PREFIX) and not Path(base).expanduser().exists()


def _package_licence(package: str) -> str:
    distributions = importlib.metadata.packages_distributions().get(package, [])
    for name in distributions:
        metadata = importlib.metadata.metadata(name)
        stated = next(filter(None, (metadata[key] for key in LICENCE_KEYS if key in metadata)), "")
        if stated and stated.strip().upper() != "UNKNOWN":
            return stated.strip().splitlines()[0]
    return UNKNOWN_LICENCE


def _hub_card(name: str) -> Path | None:
    """The model card of a hub model: from the cache, else fetched where the hub can be reached."""
    try:
        path = cached_file(name, "README.md")
    except (OSError, ValueError):
        return None
    return None if path is None else Path(path)
