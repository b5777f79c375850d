"""`make wheelhouse` with a stub for Python, so that nothing is downloaded."""

import subprocess

from mera.root import ROOT

STUB = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in --wheel-dir) echo wheel > "$2/a.whl"; exit 0 ;; esac
    shift
done
exit 1
"""


def test_names_of_folders_may_have_spaces(tmp_path):
    python, folder = tmp_path / "a python", tmp_path / "the wheels"
    python.write_text(STUB)
    python.chmod(0o755)
    command = ["make", "wheelhouse", f"WHEELHOUSE={folder}", f"PYTHON={python}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "a.whl"]
    assert f"in {folder}; their sums in SHA256SUMS" in made.stdout
