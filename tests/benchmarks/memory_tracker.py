"""`mera doctor`'s memory of a 7B step by a second opinion: torch's own trackers, on a model without storage.

python tests/benchmarks/memory_tracker.py                              five minutes of one core
python tests/benchmarks/memory_tracker.py --size tiny                  the same of a small model, in half a minute

The step is one of a Mistral of BioMistral's shape with LoRA, in 4 bits with LoRA, or with all parameters: recomputed
activations, the logits of 16 positions a row, AdamW (fused). The doctor's figures are those of `mera doctor` for such a
step. Tracked are real things where they can be had: the model's own passes, the optimizer's state and step, and FSDP2
as accelerate sets it up, over a fake process group of as many ranks. torch.distributed._tools.MemTracker follows one
process, FSDPMemTracker FSDP2.

What cannot be tracked: DeepSpeed, which needs storage for its flat buffers, and DDP's buckets, for the same reason.
Fake tensors stand on the CPU: a build of torch without CUDA has no backward pass for fake tensors of a GPU
(`--device cuda` where the build has it).
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed
import torch.nn.functional as F
from torch import nn
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoConfig

from mera.doctor.engine import Engine, memory_of_a_device, peak
from mera.doctor.live_bytes import fake_mode, hollow
from mera.doctor.step_estimate import StepAs, StepEstimate, in_autocast, step_bytes, told_of_autocast, weight_counts
from mera.language_models.lora import LoraSettings, add_lora
from mera.language_models.models import ModelConfig, load_base_model
from mera.language_models.quantization import is_quantized
from mera.language_models.tokenizer import train_tokenizer
from mera.training.private_api import own_parameters

GIB = 2**30
SIZES = {
    "7b": {"vocab_size": 33_024},
    "tiny": {
        "vocab_size": 8_192,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
"""33,024: the 32,000 tokens of the base model and those of a thousand codes."""
MODES = {"LoRA": ("none", 32), "4 bits, LoRA": ("nf4", 32), "all parameters": ("none", 0)}
"""Name -> model.quantization, model.lora.rank."""
LOGITS = 16
PARTS = ("weights", "gradients", "optimizer", "step")
"""`gradients`: all of them; `step`: what is there at the fullest beside weights and optimizer, gradients included."""


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """Of one device."""

    weights: int
    gradients: int
    optimizer: int
    step: int

    @property
    def peak(self) -> int:
        return self.weights + self.optimizer + self.step


class Handle:
    """In the place of a hook's."""

    def remove(self) -> None: ...


class PeakAlone:
    """A tracker that keeps the peak of the whole and nothing of the modules, whose sums take hours at 7B."""

    def _update_peak_stats(self, state):
        for device, snapshot in self._curr_mem_snap.items():
            if self._peak_mem.get(device, 0) < snapshot["Total"]:
                self._peak_mem[device], self._peak_mem_snap[device] = snapshot["Total"], dict(snapshot)


class OneProcessTracker(PeakAlone, MemTracker):
    def leave_frozen(self, model: nn.Module) -> None:
        """A frozen weight takes no hook for its gradient, which the tracker would put on every weight."""
        for weight in model.parameters():
            if not weight.requires_grad:
                self._param_to_grad_hook_handles[weight] = (Handle(), Handle())


class ShardedTracker(PeakAlone, FSDPMemTracker):
    pass


def write_base(folder: Path, size: str) -> None:
    """Configuration and tokenizer, without weights."""
    train_tokenizer(["a text"], 300, 32_768).save_pretrained(folder)
    AutoConfig.for_model("mistral", sliding_window=None, **SIZES[size]).save_pretrained(folder)


def hollow_model(base: Path, mode: str, device: str, dtype: torch.dtype | None = None) -> nn.Module:
    quantization, rank = MODES[mode]
    lora = LoraSettings(rank=rank)
    config = ModelConfig(base=str(base), dtype="bfloat16", weights="none", quantization=quantization, lora=lora)
    model, _ = load_base_model(config, [])
    if rank:
        model = add_lora(model, lora)
    hollow(model, dtype, device).train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def loss_of(model: nn.Module, batch: int, length: int, device: str) -> Callable[[], torch.Tensor]:
    with fake_mode():
        ids = torch.zeros(batch, length, dtype=torch.long, device=device)
        mask = torch.ones(batch, 1, length, length, dtype=torch.bool, device=device).tril()
        targets = torch.zeros(batch * LOGITS, dtype=torch.long, device=device)

    def loss() -> torch.Tensor:
        outputs = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=LOGITS)
        return F.cross_entropy(outputs.logits.flatten(0, 1).float(), targets)

    return loss


def by_the_doctor(model: nn.Module, loss: Callable[[], torch.Tensor], engine: Engine) -> Bytes:
    counts = weight_counts(model)
    step = step_bytes(model, loss, on_host=False)
    lengths = {name: 1 for name in ("examples", "step_examples", "epoch_steps", "run_steps", "epoch_tokens")}
    estimate = StepEstimate(
        **asdict(counts),
        **lengths,
        batch_shape=[],
        asked_epochs=1,
        min_steps=0,
        forward_bytes=step.forward,
        peak_bytes=step.peak,
        accumulated_bytes=step.passing + counts.gradient_bytes,
    )
    memory = memory_of_a_device(engine, estimate, accumulates=False)
    return Bytes(
        weights=memory["weights"],
        gradients=memory["gradients"] if engine.fsdp else counts.gradient_bytes,
        optimizer=memory["optimizer"],
        step=peak(memory) - memory["weights"] - memory["optimizer"],
    )


def shard(model: nn.Module, ranks: int, device: str) -> None:
    """FSDP2 as accelerate 1.15 makes it: what trains in float32, a unit for each layer, the embeddings, norm and head
    together, and the rest."""
    mesh = init_device_mesh(device, (ranks,))
    precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16)
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    with fake_mode():
        for module in model.modules():
            for name, weight in own_parameters(module).items():
                if weight is not None and weight.requires_grad:
                    own_parameters(module)[name] = nn.Parameter(weight.detach().float())
        for layer in plain.model.layers:
            fully_shard(layer, mesh=mesh, mp_policy=precision, reshard_after_forward=True)
        fully_shard(plain.model.embed_tokens, mesh=mesh, mp_policy=precision)
        tail = [plain.model.norm, plain.lm_head]
        fully_shard(tail, mesh=mesh, mp_policy=precision, reshard_after_forward=False)
        fully_shard(model, mesh=mesh, mp_policy=precision)


def by_the_tracker(model: nn.Module, loss: Callable[[], torch.Tensor], engine: Engine) -> Bytes:
    """The second step of training: the optimizer's state is there."""
    if engine.fsdp:
        shard(model, engine.processes, model.device.type)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], fused=True)
    with fake_mode():
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()
        tracker = ShardedTracker(model, optimizer) if engine.fsdp else OneProcessTracker()
        if not engine.fsdp:
            tracker.leave_frozen(model)
        tracker.track_external(model, optimizer, *maxima(model))
        with tracker:
            loss().backward()
            after = by_kind(tracker.get_tracker_snapshot())
            optimizer.step()
    top = by_kind(tracker.get_tracker_snapshot("peak"))
    weights = sum(after.get(kind, 0) for kind in ("Parameter", "Sharded Param", "Buffer", "Other"))
    optimizer_bytes = after.get("Optstate", 0) + after.get("OptState", 0)
    return Bytes(
        weights=weights,
        gradients=after.get("Gradient", 0) + after.get("Sharded Grad", 0),
        optimizer=optimizer_bytes,
        step=top["Total"] - weights - optimizer_bytes,
    )


def by_kind(snapshot: dict) -> dict[str, int]:
    (kinds,) = snapshot.values()
    return {getattr(kind, "value", kind): size for kind, size in kinds.items()}


def maxima(model: nn.Module) -> list[torch.Tensor]:
    """What stands beside weights in 4 bits."""
    states = [layer.weight.quant_state for layer in model.modules() if is_quantized(layer)]
    return [tensor for state in states for tensor in (state.absmax, state.state2.absmax, state.state2.code, state.code)]


def compare(base: Path, mode: str, engine: Engine, arguments: argparse.Namespace) -> dict[str, tuple[int, int]]:
    """Part, and `peak` -> bytes by the doctor and by the tracker."""
    device, figures = arguments.device, []
    for measure, precision in ((by_the_doctor, engine.precision), (by_the_tracker, "autocast")):
        model = hollow_model(base, mode, device, torch.bfloat16 if precision == "bfloat16" else None)
        step_as = StepAs(precision=precision, on_gpu=True)
        loss = in_autocast(loss_of(model, arguments.batch, arguments.length, device), step_as)
        with told_of_autocast(step_as):
            figures.append(measure(model, loss, engine))
    doctor, tracked = figures
    return {part: (getattr(doctor, part), getattr(tracked, part)) for part in (*PARTS, "peak")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--ranks", nargs="*", type=int, default=[1, 8], help="of FSDP2 (default: 1 8)")
    parser.add_argument("--json", action="store_true", help="print JSON lines of bytes")
    arguments = parser.parse_args()
    if not arguments.json:
        print("| trained | engine | " + " | ".join((*PARTS, "peak")) + " | ratio |\n|---" + "|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as folder:
        write_base(Path(folder), arguments.size)
        engines = [Engine(name="one process", bf16=True)]
        engines += [Engine(name=f"FSDP2, {n}", processes=n, bf16=True, fsdp=True) for n in arguments.ranks]
        for mode in arguments.modes:
            for engine in engines:
                if engine.fsdp and MODES[mode][0] != "none":
                    continue  # refused: it cannot keep weights in 4 bits in pieces
                if engine.fsdp:
                    torch.distributed.init_process_group("fake", rank=0, world_size=engine.processes, store=FakeStore())
                parts = compare(Path(folder), mode, engine, arguments)
                if engine.fsdp:
                    torch.distributed.destroy_process_group()
                if arguments.json:
                    print(json.dumps({"mode": mode, "engine": engine.name} | parts), flush=True)
                    continue
                cells = [f"{doctor / GIB:.2f}, {tracked / GIB:.2f}" for doctor, tracked in parts.values()]
                ratio = parts["peak"][0] / parts["peak"][1]
                print(f"| {mode} | {engine.name} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
