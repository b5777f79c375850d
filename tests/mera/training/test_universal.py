"""A ZeRO checkpoint that another number of processes reads: what is made of it, for how long, and what is read."""

import os
import shutil
import sys
from collections import namedtuple

import pytest
import torch
from ready_python import run_ready
from safetensors.torch import save_file

from mera.root import ROOT
from mera.training.resume import universal
from mera.training.resume.universal import load_untrained, remove_leftover, universal_checkpoint

CPU = torch.device("cpu")
CONVERTER = """#!{python}
import pathlib, sys
words = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert pathlib.Path(words["--input_folder"], "pieces_optim_states.pt").is_file()
folder = pathlib.Path(words["--output_folder"])
folder.mkdir()
{end}
(folder / "whole.pt").touch()
"""


@pytest.fixture
def checkpoint(tmp_path):
    """In a folder whose name is a pattern, which DeepSpeed's converter would look for elsewhere."""
    path = tmp_path / "run [1]+" / "trainer" / "checkpoint-5"
    (path / "global_step5").mkdir(parents=True)
    (path / "latest").write_text("global_step5")
    (path / "global_step5" / "pieces_optim_states.pt").write_bytes(b"pieces")
    return path


def converter_that(end, tmp_path, monkeypatch):
    """Stands in for the Python that runs DeepSpeed's converter, which takes ten seconds to begin."""
    program = tmp_path / "python"
    program.write_text(CONVERTER.format(python=sys.executable, end=end))
    program.chmod(0o700)
    monkeypatch.setattr(universal.sys, "executable", str(program))


def files(checkpoint):
    return sorted(path.name for path in checkpoint.parent.rglob("*"))


def test_what_is_converted_lies_beside_and_is_gone_afterwards(checkpoint, tmp_path, monkeypatch):
    converter_that("", tmp_path, monkeypatch)
    before = files(checkpoint)
    (checkpoint.parent / ".universal" / "universal").mkdir(parents=True)
    remove_leftover(checkpoint.parent)
    with universal_checkpoint(checkpoint, CPU, is_first=True) as folder:
        assert folder == checkpoint.parent / ".universal"
        assert (folder / "universal" / "whole.pt").is_file()
    assert files(checkpoint) == before
    with pytest.raises(KeyError), universal_checkpoint(checkpoint, CPU, is_first=True):
        raise KeyError
    assert files(checkpoint) == before


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("raise OSError(28, 'No space left on device')", r"OSError: \[Errno 28\] No space left on device"),
        ("sys.exit(3)", "DeepSpeed's converter ended without a word"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "DeepSpeed's converter was ended by SIGKILL"),
    ],
)
def test_a_conversion_that_fails_is_one_sentence_and_leaves_nothing(end, cause, checkpoint, tmp_path, monkeypatch):
    converter_that(end, tmp_path, monkeypatch)
    before = files(checkpoint)
    sentence = f"checkpoint-5 for another number of processes: {cause}; mend that and start the same command again"
    with pytest.raises(OSError, match=sentence), universal_checkpoint(checkpoint, CPU, is_first=True):
        pytest.fail("it was not converted")
    assert files(checkpoint) == before


def test_a_disk_without_room_is_told_before(checkpoint, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(11))
    before = files(checkpoint)
    with pytest.raises(OSError, match=r"takes 0.0 GiB of disk beside it, and 0.0 are free; make room, or start with"):
        universal_checkpoint(checkpoint, CPU, is_first=True).__enter__()
    assert files(checkpoint) == before


class Partly(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trains, self.frozen = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False)
        self.register_buffer("scale", torch.randn(2))
        self.register_buffer("made_anew", torch.zeros(1), persistent=False)


def test_what_does_not_train_is_read_from_the_weights(tmp_path):
    written, read = Partly(), Partly()
    before = {name: tensor.clone() for name, tensor in read.state_dict().items()}
    load_untrained(read, tmp_path)  # LoRA alone has no such file
    assert all(torch.equal(before[name], tensor) for name, tensor in read.state_dict().items())
    save_file(written.state_dict(), tmp_path / "model.safetensors")
    load_untrained(read, tmp_path)
    for name, tensor in read.state_dict().items():
        expected = before if name.startswith("trains") else written.state_dict()
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def run(what, processes, stage, precision, folder):
    words = ["-m", "accelerate.commands.launch", "--config_file", ROOT / "launch" / "accelerate" / "ddp.yaml"]
    words += ["--num_processes", processes, "tests/helpers/universal_worker.py", what, stage, precision, folder]
    done = run_ready(words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{what}{end}.pt", weights_only=True) for end in ("", "-after")]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_three_processes_read_what_two_wrote(stage, precision, tmp_path):
    """To the bit: weights, float32 weights, moments, what does not train; and two steps more end in the same place.
    DeepSpeed alone fails here at stages 1 and 2, and at stage 3 counts 9 steps of 5 and mixes up learning rates. The
    folder's name is a pattern."""
    folder = tmp_path / "run+1"
    folder.mkdir()
    written, written_after = run("write", 2, stage, precision, folder)
    read, read_after = run("read", 3, stage, precision, folder)
    assert read["tensors"].keys() == written["tensors"].keys()
    for name, tensor in written["tensors"].items():
        assert torch.equal(read["tensors"][name], tensor), name
    assert read["settings"] == written["settings"]
    assert set(read["steps"]) == set(written["steps"]) == {3.0}
    assert set(read_after["steps"]) == {5.0}
    close = {"atol": 1e-6, "rtol": 0} if precision == "float32" else {"atol": 2e-4, "rtol": 0}
    for name, tensor in written_after["tensors"].items():
        torch.testing.assert_close(read_after["tensors"][name], tensor, **close)
    assert not (folder / ".universal").exists()
