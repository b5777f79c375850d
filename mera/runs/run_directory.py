"""A run directory: complete or absent.

Work happens in `<parent>/.<name>.partial`; when everything is there it is renamed to `<parent>/<name>`. A partial
directory left by an interrupted run is found again by the next one with the same name: a training resumes from it
(`claim`), what does not resume begins anew (`begun_anew`). While a process works in it, another one is refused
(mera/system/folder_lock.py).
"""

import json
import os
import shutil
from pathlib import Path

from mera.config import Recipe
from mera.runs.tracking import close_tracking
from mera.system.errors import UserError
from mera.system.folder_lock import NAME as LOCK_NAME
from mera.system.folder_lock import FolderLock
from mera.system.terminal import as_json

CLAIM = "run.json"
"""What is trained in the folder, and how."""
MAY_CHANGE = {"batch_size", "gradient_accumulation", "keep_last", "save_every", "tracking"}
"""Keys of `training` that an interrupted run may be resumed with another value of."""


class RunDirectory:
    """Where a run writes: `partial` while it works, `final` once `finish` has renamed it.

    In a distributed run the first process holds the lock for all. Raises UserError where `final` already exists, or
    another run works there.
    """

    def __init__(self, output: str | Path):
        self.final = Path(output)
        self.partial = self.final.parent / f".{self.final.name}.partial"
        self._check_absent()
        if os.environ.get("RANK", "0") == "0":
            self._lock: FolderLock | None = FolderLock(self.partial)
            self._check_absent()  # another run may have finished between
        else:
            self._lock = None
            self.partial.mkdir(parents=True, exist_ok=True)

    @classmethod
    def begun_anew(cls, output: str | Path) -> "RunDirectory":
        """For work that does not resume: without what an interrupted run left. Raises UserError where that is a
        training, which can be resumed."""
        run = cls(output)
        if run.path(CLAIM).is_file() and not run._holds_nothing_yet():
            raise UserError(
                f"{run.partial} holds an interrupted training; repeat it as it was started to resume, remove that "
                f"folder, or choose another --output"
            )
        if run._lock is not None:
            run._lock.clear()
        return run

    def claim(self, config: Recipe, task_fingerprint: str) -> None:
        """Note what is trained here (CLAIM), so that another run never resumes from its checkpoints.

        Settings that may change on the way are left out; those of the batch are held against the checkpoint itself
        (mera/training/resume/checkpoints.py), since another number of processes needs others. Raises UserError where an
        interrupted run with another configuration or another task left its files here, more than this note.
        """
        training = {key: value for key, value in config.get("training", {}).items() if key not in MAY_CHANGE}
        wanted = json.loads(json.dumps(config | {"training": training, "task_fingerprint": task_fingerprint}))
        if not self.path(CLAIM).is_file() or self._holds_nothing_yet():
            write_json(self.path(CLAIM), wanted)
            return
        started = json.loads(self.path(CLAIM).read_text(encoding="utf-8"))
        different = sorted(key for key in wanted if wanted[key] != started.get(key))
        if different:
            raise UserError(
                f"{self.partial} holds an interrupted run that differs in {', '.join(different)}; repeat it as it was "
                f"started to resume, or remove that folder to start over"
            )

    def _holds_nothing_yet(self) -> bool:
        """Whether an earlier run ended, on a mistake in its options say, before it had written anything."""
        return {path.name for path in self.partial.iterdir()} <= {CLAIM, LOCK_NAME}

    def path(self, name: str) -> Path:
        """A path inside the run, valid until `finish`."""
        return self.partial / name

    def finish(self) -> Path:
        """Make the run visible under its final name, without the trainer's resume state; return that name."""
        close_tracking()
        self.partial.rename(self.final)
        shutil.rmtree(self.final / "trainer", ignore_errors=True)
        if self._lock is not None:
            self._lock.release(self.final)
        return self.final

    def _check_absent(self) -> None:
        if self.final.exists():
            raise UserError(f"{self.final} already exists; choose another --output or remove it")


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON; another process sees all of it or nothing."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(as_json(value), encoding="utf-8")
    beside.replace(path)
