"""What a terminal gets of a command: UTF-8, whatever the locale, JSON, and progress bars, where it is a terminal."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from tqdm.auto import tqdm

VERBOSE = "MERA_VERBOSE"
"""Environment variable that `-v` sets, so that the commands which a command starts have it too."""
NOTICES = r"(transformers|peft|trl|accelerate|deepspeed|datasets|sentence_transformers)(\.|$)"
"""Modules whose warnings (names that will go, defaults they chose) say nothing that a user of ours could act on."""
Item = TypeVar("Item")


def use_utf8() -> None:
    """Where the locale would have Python read names of files and print in anything but UTF-8 (`LC_ALL=C`, Latin-1),
    start the process again in UTF-8 mode: a path keeps its umlauts in every library and file, and no table is too rich
    for the terminal. Elsewhere do nothing.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")  # PYTHONIOENCODING asks for less than Unicode


def is_verbose() -> bool:
    """Whether the user asked, by `-v`, for all that libraries show and a training logs."""
    return os.environ.get(VERBOSE) == "1"


def be_verbose() -> None:
    """What `-v` does, once the command line is read: what `quiet_libraries` took away is there again."""
    os.environ[VERBOSE] = "1"
    warnings.filterwarnings("default", module=NOTICES)
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.enable_progress_bar()
    if "datasets" in sys.modules:
        sys.modules["datasets"].enable_progress_bars()


def quiet_libraries() -> None:
    """No bars of transformers (loading and writing weights) and datasets (tokenizing), and no warnings of libraries
    about themselves, unless `-v` was given; a hub's bars stay, since a download of gigabytes is worth one."""
    import huggingface_hub.utils
    import transformers

    if is_verbose():
        return
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=NOTICES)
    of_hub = not huggingface_hub.utils.are_progress_bars_disabled()
    transformers.utils.logging.disable_progress_bar()
    if of_hub:
        huggingface_hub.utils.enable_progress_bars()
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()


def plain_console(stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Prints what it is given. rich's own reads `[lambliasis]` in the name of a code as a style and leaves it out."""
    return Console(stderr=stderr, soft_wrap=soft_wrap, markup=False)


def progress_bar(items: Iterable[Item], label: str | None, unit: str, *, at_least: int = 0) -> "tqdm[Item]":
    """`items` behind a bar on stderr that goes when they end. None is shown where stderr is no terminal, where there is
    no `label`, or where `items`, which must have a length then, are fewer than `at_least`."""
    shown = label is not None and (not at_least or len(items) >= at_least)  # type: ignore[arg-type]  # see above
    return tqdm(items, desc=label, unit=unit, leave=False, dynamic_ncols=True, disable=None if shown else True)


def print_above_bars(line: str) -> None:
    """On stdout, where a bar may be on the terminal's last line."""
    tqdm.write(line)


def as_json(value: object) -> str:
    """Indented, as commands print it and folders hold it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def only_errors(logger: str) -> Iterator[None]:
    """What the logger of this name warns of in this block is not shown."""
    named = logging.getLogger(logger)
    level = named.level
    named.setLevel(logging.ERROR)
    try:
        yield
    finally:
        named.setLevel(level)
