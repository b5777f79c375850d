"""Configuration: frozen dataclasses, filled from one YAML file and `--dotted.key value` overrides.

A stage declares its configuration with `@config_class`; types are checked and coerced by pydantic, and each field's
docstring becomes its line in `--help`. An unknown key is an error that names the nearest known one.
"""

import argparse
import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform, get_args, get_origin

import pydantic
import yaml
from pydantic.dataclasses import is_pydantic_dataclass

from mera.system.errors import CommandLine, UserError
from mera.system.terminal import be_verbose

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STARTED_AS = "MERA_COMMAND"
"""Environment variable with the command that help and errors name, where `mera` started the script."""
STAGE_KEYS = {
    "bi_encoder": {"encoder", "variant", "objective", "selection"},
    "rank": {"loss", "prompt", "orders", "wide", "history_dropout"},
    "memorize": {"questions", "stop_at", "evaluate_every", "measure_pretrained"},
}
"""Keys that only recipes of a stage have."""
OF_NO_METHOD = frozenset(
    {
        *("output", "name", "task", "evaluation_batch_size", "selection.batch_size", "model.dtype", "attention"),
        *("training.tracking", "training.keep_last", "training.save_every", "only", "chosen_on_validation"),
    }
)
"""Keys of where a run was written, what it is called, how it was computed and what validation chose, not of what was
trained."""
REQUIRED = "required"
OTHER_NAMES = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "per_device_train_batch_size": "batch_size",
    "wd": "weight_decay",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "output_dir": "output",
    "model_name_or_path": "base",
    "max_length": "max_tokens",
}
"""What other programs call a key -> its last part here."""
Config = TypeVar("Config")
Recipe = dict[str, Any]
"""Keys and values of a YAML file, as it has them: no stage's configuration has checked them yet."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config_class(cls: type[Config]) -> type[Config]:
    """Make `cls` a frozen, keyword-only, validated dataclass that rejects unknown keys."""
    settings = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())
    return cast("type[Config]", pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=settings))


def parse_config(
    cls: type[Config], description: str, arguments: Sequence[str] | None = None, program: str | None = None
) -> Config:
    """Build `cls` from the command line: `--config FILE`, then overrides such as `--training.epochs 3`.

    `program`: what help calls the command; None: as it was started. Prints help or an error and exits where argparse
    would (exit code 2 on bad usage).
    """
    return parse_with_options(cls, description, {}, arguments, program)[0]


def parse_with_options(
    cls: type[Config],
    description: str,
    options: Mapping[str, Mapping[str, Any]],
    arguments: Sequence[str] | None = None,
    program: str | None = None,
) -> tuple[Config, argparse.Namespace]:
    """`parse_config` for a command with options of its own: option name -> what `add_argument` takes."""
    parser = CommandLine(
        prog=program or os.environ.get(STARTED_AS),
        usage="%(prog)s [--config FILE] [--KEY VALUE ...]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with the keys below, nested at the dots")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also show what libraries show and every number that is logged"
    )
    for name, settings in options.items():
        parser.add_argument(name, **settings)
    keys = parser.add_argument_group("keys of the configuration")
    lists = _list_keys(cls)
    for key, help_text in _help_lines(cls):
        number = "+" if key in lists else 1
        keys.add_argument(
            f"--{key}", dest=key, metavar="VALUE", nargs=number, default=argparse.SUPPRESS, help=help_text
        )
    known, unknown = parser.parse_known_args(arguments)
    if known.verbose:
        be_verbose()
    if unknown:
        parser.error(_unknown_key_message(unknown[0].lstrip("-").split("=")[0], [key for key, _ in _help_lines(cls)]))
    words = vars(known)
    overrides = {key: _value(words.pop(key), key in lists) for key, _ in _help_lines(cls) if key in words}
    try:
        return load_config(cls, words.pop("config"), overrides), known
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))


def load_config(cls: type[Config], path: str | Path | None = None, overrides: Recipe | None = None) -> Config:
    """Read `path` (YAML), apply dotted `overrides`, and validate the result as `cls`.

    Raises UserError that names the file, the key and, for an unknown key, the nearest known one.
    """
    values = {} if path is None else _read_yaml(path)
    for key, value in (overrides or {}).items():
        _set_dotted(values, key, value)
    try:
        return pydantic.TypeAdapter(cls).validate_python(values)
    except pydantic.ValidationError as error:
        known = [key for key, _ in _help_lines(cls)]
        raise UserError(_why_not(error, known, path, set(overrides or {}))) from None


def _why_not(error: pydantic.ValidationError, known: list[str], path: str | Path | None, options: set[str]) -> str:
    """What is wrong, with the options of the command line named as such and the rest blamed on the file."""
    problems = _problems(error, known)
    of_options = [text for key, text in problems if key in options]
    of_file = [text for key, text in problems if key not in options]
    strange = {stage for key, _ in problems if key not in options for stage in _stages_of(key, known)}
    if path is not None and strange:
        return f"{path} is a recipe of the stage {' or '.join(sorted(strange))}, not of this one"
    sentences = [f"--{text}" for text in of_options]
    required = [f"--{key}" for key, text in problems if text == REQUIRED and key not in options]
    of_file = [text for text in of_file if text != REQUIRED]
    if required:
        where = "" if path is None else f" ({path} does not set {'it' if len(required) == 1 else 'them'})"
        sentences.append(f"{' and '.join(required)} {'is' if len(required) == 1 else 'are'} required{where}")
    if of_file:
        sentences.append(f"bad configuration{'' if path is None else f' in {path}'}: {'; '.join(of_file)}")
    return "; ".join(sentences)


def read_values(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The keys of a recipe with `--dotted.key value` overrides, for who does not know the stage's configuration.

    Raises UserError on words that are not such pairs.
    """
    values = _read_yaml(path)
    words = [part for word in overrides for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if len(words) % 2 or not all(key.startswith("--") for key in words[::2]):
        raise UserError(f"options come in pairs, --key value; got {' '.join(words)}")
    for key, text in zip(words[::2], words[1::2], strict=True):
        _set_dotted(values, key.removeprefix("--"), yaml.safe_load(text))
    return values


def config_dict(config: "DataclassInstance") -> Recipe:
    """The configuration as plain nested dictionaries, ready for YAML or JSON."""
    return asdict(config)


def settings_of_method(config: Recipe, prefix: str = "") -> Recipe:
    """`{"loss": {"known": "negative"}}` -> `{"loss.known": "negative"}`, without the keys that change no model."""
    flat: Recipe = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in OF_NO_METHOD:
            continue
        if isinstance(value, dict):
            flat |= settings_of_method(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _read_yaml(path: str | Path) -> Recipe:
    if not Path(path).is_file():
        raise FileNotFoundError(f"config file not found: {path}")
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold keys and values, got a {type(values).__name__}")
    return values


def _set_dotted(values: Recipe, key: str, value: object) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f"cannot set {key}: {parent} is not a section")
        values = child
    values[leaf] = value


def _problems(error: pydantic.ValidationError, known: list[str]) -> list[tuple[str, str]]:
    """(dotted key, what is wrong with it)"""
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            problems.append((key, _unknown_key_message(key, known)))
        elif problem["type"] in ("missing", "missing_keyword_only_argument"):
            problems.append((key, REQUIRED))
        elif isinstance(problem.get("ctx", {}).get("error"), UserError):
            problems.append((key, str(problem["ctx"]["error"])))  # of our own check: it says what was got
        else:
            problems.append((key, f"{key + ': ' if key else ''}{problem['msg']} (got {problem['input']!r})"))
    return problems


def _stages_of(key: str, known: list[str]) -> list[str]:
    """The stages that have the top-level `key`, where this one has it not."""
    top = key.split(".")[0]
    if any(name.split(".")[0] == top for name in known):
        return []
    return [stage for stage, keys in STAGE_KEYS.items() if top in keys]


def _unknown_key_message(key: str, known: list[str]) -> str:
    stages = _stages_of(key, known)
    if stages:
        return f"{key!r} is a key of the stage {stages[0]}, not of this one"
    within = [name for name in known if name.startswith(f"{key}.")]
    if within:
        return f"{key!r} is a section; set its keys one by one, such as --{within[0]}"
    return f"unknown key {key!r}; did you mean {_nearest_key(key, known)!r}?"


def _nearest_key(key: str, known: list[str]) -> str:
    """The key with that last part (or with what other programs call so), else the one that is spelled most alike."""
    last = key.rsplit(".", 1)[-1]
    wanted = {last, OTHER_NAMES.get(last, last)}
    for name in known:
        if name.rsplit(".", 1)[-1] in wanted:
            return name
    sections = {name.rsplit(".", depth)[0] for name in known for depth in range(name.count(".") + 1)}
    return difflib.get_close_matches(key, sorted(sections), n=1, cutoff=0.0)[0]


def _description(cls: type, name: str) -> str:
    """The field's docstring; pydantic reads those of `cls` alone, not of a field that it inherits."""
    parents = [getattr(parent, "__pydantic_fields__", {}) for parent in cls.__mro__]
    return next((known[name].description for known in parents if name in known and known[name].description), "")


def _help_lines(cls: type, prefix: str = "") -> list[tuple[str, str]]:
    assert is_pydantic_dataclass(cls), "a configuration is made by config_class"
    lines: list[tuple[str, str]] = []
    described = cls.__pydantic_fields__
    for field in fields(cls):
        key = f"{prefix}{field.name}"
        info = described[field.name]
        if isinstance(info.annotation, type) and is_dataclass(info.annotation):
            lines += _help_lines(info.annotation, f"{key}.")
        else:
            default = "required"
            if not info.is_required():
                default = f"default: {_as_typed(info.get_default(call_default_factory=True))}"
            text = " ".join(_description(cls, field.name).split())
            lines.append((key, f"{text} ({default})".replace("%", "%%")))
    return lines


def _list_keys(cls: type, prefix: str = "") -> set[str]:
    """The dotted keys that take a list: `--only ease gbdt`, or `--only ease`, as well as `--only "[ease, gbdt]"`."""
    assert is_pydantic_dataclass(cls), "a configuration is made by config_class"
    keys: set[str] = set()
    for field in fields(cls):
        annotation = cls.__pydantic_fields__[field.name].annotation
        if isinstance(annotation, type) and is_dataclass(annotation):
            keys |= _list_keys(annotation, f"{prefix}{field.name}.")
        elif _is_list(annotation):
            keys.add(f"{prefix}{field.name}")
    return keys


def _is_list(annotation: object) -> bool:
    """Whether it is a tuple, or a tuple that may be unset; not where one value alone may stand for it."""
    kinds = {kind for kind in get_args(annotation) if kind is not NoneType}
    return get_origin(annotation) is tuple or (bool(kinds) and all(get_origin(kind) is tuple for kind in kinds))


def _value(words: Sequence[str], is_list: bool) -> object:
    """What was typed behind a key, as YAML reads it; of several words a list, and of one where the key takes one."""
    values = [yaml.safe_load(word) for word in words]
    if len(values) > 1 or (is_list and isinstance(values[0], str | int | float)):
        return values
    return values[0]


def _as_typed(value: object) -> str:
    """As one would type it: a list in brackets."""
    return f"[{', '.join(map(_as_typed, value))}]" if isinstance(value, tuple) else str(value)
