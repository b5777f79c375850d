"""The doctor's memory of a step and torch's own trackers agree, for a small model."""

import json

import pytest
from ready_python import run_ready

from mera.root import ROOT


@pytest.fixture(scope="module")
def records():
    """(mode, engine) -> part -> bytes by the doctor and by the tracker."""
    script = ["tests/benchmarks/memory_tracker.py", "--size", "tiny", "--length", "128", "--json"]
    done = run_ready(script, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(line.pop("mode"), line.pop("engine")): line for line in lines}


@pytest.mark.parametrize("mode", ["LoRA", "4 bits, LoRA", "all parameters"])
def test_one_process_takes_what_the_doctor_says(records, mode):
    parts = records[mode, "one process"]
    for part in ("weights", "gradients", "optimizer", "peak"):
        doctor, tracked = parts[part]
        assert doctor == pytest.approx(tracked, rel=0.1), part
    doctor, tracked = parts["step"]
    assert doctor == pytest.approx(tracked, rel=0.001)


def test_four_bits_take_a_quarter_of_the_layers(records):
    plain, four_bits = (records[mode, "one process"]["weights"][1] for mode in ("LoRA", "4 bits, LoRA"))
    layers = 2 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512)
    assert plain - four_bits == pytest.approx((2 - 0.516) * layers, rel=0.01)


@pytest.mark.parametrize("mode", ["LoRA", "all parameters"])
@pytest.mark.parametrize("ranks", [1, 8])
def test_fsdp2_keeps_what_the_doctor_says(records, mode, ranks):
    parts = records[mode, f"FSDP2, {ranks}"]
    for part in ("weights", "gradients", "optimizer"):
        doctor, tracked = parts[part]
        assert doctor == pytest.approx(tracked, rel=0.1), part
    doctor, tracked = parts["peak"]
    assert tracked <= doctor < 1.4 * tracked  # it adds up what is not there at once, which is more of a small model
