"""A model in a process of its own, which is asked through its standard input and output."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence

from mera.commands.serve.messages import About
from mera.system.errors import UserError

SECONDS_TO_END = 5


class EngineRefusal(UserError):
    """What the engine has to say to the user."""

    def __init__(self, sentence: str, status: int):
        super().__init__(sentence)
        self.status = status


class EngineFailure(Exception):
    """The engine failed at a request, or has ended. `stack` says where, without a word of the request."""

    def __init__(self, stack: str):
        super().__init__("the model could not answer")
        self.stack = stack


class Engine:
    """One request at a time; several threads may ask."""

    def __init__(self, command: Sequence[str]):
        """`command`: a program that speaks as `mera.commands.serve.answering` says. What it prints goes to stderr."""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONSAFEPATH": "1", "TQDM_DISABLE": "1"},
            start_new_session=True,  # Ctrl-C is for the server, which then ends it
        )
        self._lock = threading.Lock()
        self._about: About | None = None

    @property
    def about(self) -> About:
        """What it ranks; waits until the model is there. Raises UserError where it could not be opened, which the
        engine itself has explained on stderr."""
        with self._lock:
            if self._about is None:
                try:
                    self._about = About.model_validate(self._read()["answer"])
                except EngineFailure:
                    raise UserError("the model could not be opened; why stands above") from None
            return self._about

    def ask(self, name: str, request: Mapping[str, object]) -> Mapping[str, object]:
        """The answer to a request. Raises EngineRefusal with a sentence for the user, EngineFailure for all else."""
        with self._lock:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps({"ask": name, "with": request}) + "\n")
                self._process.stdin.flush()
            except OSError:
                raise EngineFailure("its process has ended") from None
            reply = self._read()
        if "error" in reply:
            raise EngineRefusal(str(reply["error"]), int(str(reply["status"])))
        if "failed" in reply:
            raise EngineFailure(str(reply["failed"]))
        answer = reply["answer"]
        assert isinstance(answer, dict)
        return answer

    def hang_up(self) -> None:
        """Its input ends; it will end after what it is at."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended before
            self._process.stdin.close()

    def end(self) -> None:
        """Wait until it has ended; where it does not, it is killed."""
        self.hang_up()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> Mapping[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineFailure("its process has ended")
        reply = json.loads(line)
        assert isinstance(reply, dict)
        return reply
