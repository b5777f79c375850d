"""What tensors would take: counted against what is alive, and a model without weights against the real one."""

import torch
from small_model import ARCHITECTURE
from torch import nn

from mera.doctor.live_bytes import LiveBytes, hollow
from mera.doctor.step_estimate import let_gradients_go
from mera.language_models.models import ModelConfig, load_base_model


def test_live_bytes_counts_each_storage_once_while_it_lives():
    with LiveBytes() as live:
        first = torch.zeros(1000)
        view = first[10:20].reshape(2, 5)
        second = first + 1
        assert live.live == 8000
        del second
        assert (live.live, live.peak) == (4000, 8000)
        del first
        assert live.live == 4000  # the view holds it
        del view
        assert live.live == 0
        kept = torch.zeros(500)
        kept.add_(1)
        torch.mul(kept, 2, out=kept)
    assert (live.live, live.peak) == (2000, 8000)


def test_uninitialised_memory_counts_as_far_as_it_is_touched():
    sizes = {}
    for touched in (False, True):
        with LiveBytes(touched=touched) as live:
            buffer = torch.empty(100, 100)
            before = live.live
            buffer[:, :10].fill_(1)
            sizes[touched] = (before, live.live)
            del buffer
            assert live.live == 0
    assert sizes == {False: (40_000, 40_000), True: (0, 4_000)}


def mlp():
    return nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))


def test_a_hollow_model_takes_what_the_real_one_takes():
    found = []
    for build in (mlp, lambda: hollow(mlp())):
        model, inputs = build(), torch.zeros(128, 64)
        live = LiveBytes()
        live.ignore(model)
        with live:
            loss = model(inputs).square().mean()
            forward = live.live
            loss.backward()
        found.append((forward, live.peak))
    assert found[0] == found[1]
    # Kept for the backward pass: the gelu's input and output, the loss's input; the rest is small.
    kept = 4 * (2 * 128 * 256 + 128 * 64)
    assert kept <= found[0][0] <= 1.2 * kept


def test_gradients_that_leave_at_once_are_not_counted_together():
    peaks = []
    for leave in (False, True):
        model, inputs = hollow(nn.Sequential(*(nn.Linear(256, 256) for _ in range(8)))), torch.zeros(2, 256)
        if leave:
            let_gradients_go(model)
        live = LiveBytes()
        live.ignore(model)
        with live:
            model(inputs).sum().backward()
        peaks.append(live.peak)
        assert all((weight.grad is None) == leave for weight in model.parameters())
    layer = 4 * 256 * 256
    assert peaks[0] >= 8 * layer
    assert layer <= peaks[1] < 3 * layer


def test_hollow_weights_stay_tied_and_change_their_type():
    model, _ = load_base_model(ModelConfig(architecture=ARCHITECTURE | {"tie_word_embeddings": True}), ["text"])
    sizes = {name: weight.shape for name, weight in model.named_parameters()}
    hollow(model, torch.bfloat16)
    assert {name: weight.shape for name, weight in model.named_parameters()} == sizes
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
