"""Base models: what they are called where others read it, and whose licence they are under."""

import importlib.metadata
import re
from pathlib import Path

import yaml
from transformers.utils import cached_file

from mera.language_models.models import PACKAGE_PREFIX

HUB_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
UNKNOWN_LICENCE = "unknown: see the base model"
FROM_SCRATCH = "none: built from its configuration, with random weights"
LICENCE_KEYS = ("License-Expression", "License")
"""Where a package's metadata state its licence; the first is an SPDX identifier, the second free text."""


def base_licence(base: str | None) -> str | None:
    """The licence of the base model as its own model card or its package states it; UNKNOWN_LICENCE where neither
    does, None where there is no base model."""
    if base is None:
        return None
    if base.startswith(PACKAGE_PREFIX):
        return _package_licence(base.removeprefix(PACKAGE_PREFIX).partition("/")[0])
    beside_weights = Path(base).expanduser() / "README.md"
    card: Path | None = None
    if beside_weights.is_file():
        card = beside_weights
    elif is_hub_name(base):
        card = _hub_card(base)
    if card is None:
        return UNKNOWN_LICENCE
    front = card.read_text(encoding="utf-8").split("---")
    values = yaml.safe_load(front[1]) if len(front) > 2 and not front[0].strip() else None
    stated = values.get("license") if isinstance(values, dict) else None
    return str(stated) if stated else UNKNOWN_LICENCE


def base_name(base: str | None) -> str:
    """The base model as others may read it: a path on this machine says nothing elsewhere, and may name a person."""
    if base is None:
        return FROM_SCRATCH
    return base if is_hub_name(base) or base.startswith(PACKAGE_PREFIX) else Path(base).name


def is_hub_name(base: str | None) -> bool:
    """Whether `base` is a name on a hub: neither a package's nor a path, here or elsewhere."""
    return base is not None and HUB_NAME.fullmatch(base) is not None and not Path(base).exists()


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
