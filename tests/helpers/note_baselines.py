"""Baselines on notes, a bi-encoder, and their fusions, as the commands leave them.

from note_baselines import OF_NOTES, make_note_baselines        (pytest puts this folder on sys.path)
"""

import os

from ready_python import run_ready
from small_note_run import make_note_run

from mera.commands.fusion.fuse import fuse_runs
from mera.root import ROOT

OF_NOTES = ("bm25", "dictionary", "words-and-letters", "phrase-trees")


def make_note_baselines(task, folder):
    """Four baselines, a bi-encoder `laa`, the baselines fused by `trees`, and these with the bi-encoder by a sum."""
    words = ("--task", task.path, "--output", folder, "--only", *OF_NOTES, "--candidate_folds", "3")
    command = ["bi_encoder/run_retrieval_baselines.py", *words]
    done = run_ready(command, cwd=ROOT, env=os.environ | {"HOME": str(folder), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    make_note_run(task, folder / "laa")
    fuse_runs([folder / name for name in OF_NOTES], folder / "trees", form="trees")
    fuse_runs([folder / "trees", folder / "laa"], folder / "all")
    return folder
