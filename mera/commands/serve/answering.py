"""The other end of an engine: a stage's program that answers requests, one JSON object a line, until its input ends.

A request is `{"ask": name, "with": {...}}`; an answer `{"answer": {...}}`, or `{"error": sentence, "status": 404}` for
what the user has to know, or `{"failed": stack}` without a word of the input.
"""

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import TextIO

from mera.system.errors import UserError, without_values

Handler = Callable[[Mapping[str, object]], Mapping[str, object]]
UNPROCESSABLE, NOT_THERE = 422, 404


logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # as mera.system.quiet_ctrl_c has it


class NotThere(UserError):
    """What was asked for does not exist."""


def open_channel() -> TextIO:
    """Where answers go: this process's standard output, which from now on nothing else can write to. Called first,
    since libraries print."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    # What a warning says of an input is for the user alone, and there is none here.
    warnings.simplefilter("ignore")
    return channel


def answer_requests(
    channel: TextIO, about: Mapping[str, object], handlers: Mapping[str, Handler], warm_up: Callable[[], object]
) -> None:
    """Say `about`, then answer what comes in on standard input, until it ends. `warm_up` reads before the first answer
    what single answers would have to wait for, while people look for the address."""
    _send(channel, {"answer": about})
    with contextlib.suppress(Exception):  # what fails there fails again where it is needed
        warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: Mapping[str, object] = {"answer": handlers[request["ask"]](request["with"])}
        except UserError as error:
            reply = {"error": str(error), "status": NOT_THERE if isinstance(error, NotThere) else UNPROCESSABLE}
        except Exception as error:  # the next request may be all right
            reply = {"failed": without_values(error)}
        _send(channel, reply)


def _send(channel: TextIO, message: Mapping[str, object]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()
