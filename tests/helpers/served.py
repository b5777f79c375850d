"""`mera serve` in a process of its own, and engines in this one.

from served import LocalEngine, Served        (pytest puts this folder on sys.path)
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from mera.commands.serve.answering import NOT_THERE, UNPROCESSABLE, NotThere
from mera.commands.serve.engine import EngineFailure, EngineRefusal
from mera.commands.serve.messages import About
from mera.root import ROOT
from mera.system.errors import UserError, without_values


class LocalEngine:
    """As `mera.commands.serve.engine.Engine`, without a process: what goes in and out is JSON here too."""

    def __init__(self, answers, *names):
        self._answers, self._names = answers, names
        self.about = About.model_validate(json.loads(json.dumps(answers.about())))

    def ask(self, name, request):
        assert name in self._names
        try:
            return json.loads(json.dumps(getattr(self._answers, name)(json.loads(json.dumps(request)))))
        except UserError as error:
            raise EngineRefusal(str(error), NOT_THERE if isinstance(error, NotThere) else UNPROCESSABLE) from None
        except Exception as error:
            raise EngineFailure(without_values(error)) from None


class Served:
    """The server as somebody starts it; `address` ends with its token and a slash."""

    def __init__(self, checkpoint, *options, output=subprocess.PIPE):
        command = [sys.executable, "-m", "mera.cli", "serve", str(checkpoint), "--port", "0", *map(str, options)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=output, encoding="utf-8"
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.process.communicate()
        self.ready = self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=120)

    @property
    def token(self):
        return Path(self.address).name
