"""What a run needs and may lack, each with the command that mends it."""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import model_info, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError

from mera.config import Recipe
from mera.doctor.engine import Engine
from mera.language_models.activation_offloading import NO_GPU as NO_GPU_TO_OFFLOAD
from mera.language_models.compiled_blocks import require_compiler
from mera.language_models.kernels.liger import NO_GPU, NO_LIGER, has_liger
from mera.language_models.models import PACKAGE_PREFIX, resolve_source
from mera.language_models.quantization import NOT_INSTALLED, NOT_UNDER_FSDP
from mera.system.errors import UserError
from mera.training.engine import NO_CPU_BF16_UNDER_DEEPSPEED
from mera.training.model_memory import free_host_bytes
from mera.training.settings import NO_BITSANDBYTES, is_of_bitsandbytes

GIB = 2**30
PACKAGES = ("torch", "transformers", "accelerate", "trl", "peft", "datasets", "tokenizers", "sentence-transformers")
HUB_SECONDS = 5
HOST_BESIDE = 6 * GIB // 10
"""Bytes that Python and its libraries take in a process that trains."""


def before_building(stage: str, values: Recipe, engine: Engine, recipe: str) -> Iterator[str]:
    """What stands in the way of even building the model: packages, the task, the base model."""
    yield from _packages(values, engine)
    task = values.get("task")
    if task is None and not values.get("ontology"):
        yield "no task is named: add --task prepared/NAME (`mera prepare` makes one)"
    elif task is not None and not (Path(task) / "task.json").is_file():
        yield f"no prepared task in {task}: mera prepare SOURCE --input FILES --output {task}"
    yield from _base_model(stage, values, recipe)


def before_running(values: Recipe, engine: Engine) -> Iterator[str]:
    """What would stop the run later: accelerators, compilers, an output that exists."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wants_bf16 = (values.get("model") or {}).get("dtype") == "bfloat16"
    if not engine.on_cpu and gpus < engine.processes:
        yield (
            f"{engine.name} wants {engine.processes} GPUs, {gpus or 'none'} found: run it where they are, set "
            f"--num-processes, or train on the CPU with --accelerate launch/accelerate/cpu.yaml"
        )
    elif not gpus and wants_bf16:
        yield "the recipe computes in bfloat16, made for GPUs, and none is found: --model.dtype float32 on a CPU"
    elif gpus and engine.bf16 and not torch.cuda.is_bf16_supported():
        yield f"{torch.cuda.get_device_name(0)} has no bfloat16: set mixed_precision to fp16 or no"
    yield from _speed(values, engine)
    if engine.fsdp and _wants_four_bits(values):
        yield NOT_UNDER_FSDP
    if engine.on_cpu and engine.zero_stage is not None and engine.bf16:
        yield NO_CPU_BF16_UNDER_DEEPSPEED
    if engine.zero_stage is not None and (engine.offload_optimizer or engine.on_cpu):
        for program, package in (("g++", "apt-get install g++"), ("ninja", "pip install ninja")):
            if shutil.which(program) is None:
                yield f"DeepSpeed compiles its CPU operators with {program}, which is not installed: {package}"
    output = values.get("output")
    if output is not None and Path(output).exists():
        yield f"{output} already exists: choose another --output or remove it"


def _speed(values: Recipe, engine: Engine) -> Iterator[str]:
    """Whether what makes a step faster or smaller goes with the engine."""
    if engine.on_cpu and (values.get("model") or {}).get("kernels") == "liger":
        yield NO_GPU
    if engine.on_cpu and any((values.get(part) or {}).get("activation_offloading") for part in ("model", "encoder")):
        yield NO_GPU_TO_OFFLOAD
    if (values.get("training") or {}).get("compile"):
        try:
            require_compiler(not engine.on_cpu, fetches_weights=engine.zero_stage == 3)
        except UserError as error:
            yield str(error)


def costs(values: Recipe, merged: int) -> Iterator[str]:
    """What the memory of a step leaves out: of what makes it faster, and of the end, where a model in 4 bits is merged
    into one of so many bytes."""
    if _wants_four_bits(values):
        yield f"model.quantization: at the end the merged model takes {merged / GIB:.1f} GiB of the host's memory"
    if (values.get("training") or {}).get("compile"):
        yield (
            "training.compile: the compiler works before the first step of each length; the memory is that of plain "
            "blocks, and compiled ones keep less"
        )
    if (values.get("model") or {}).get("kernels") == "liger":
        yield "model.kernels liger: the memory is that of plain modules, and Liger's keep less"


def disk(output: str | None, needed: int) -> Iterator[str]:
    """Whether the checkpoints fit where the run writes."""
    folder = Path(output or ".").absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        yield (
            f"{folder} has {free / GIB:.1f} GiB free, the checkpoints need {needed / GIB:.1f} GiB: free some, or give "
            f"an --output on another disk"
        )


def memory(values: Recipe, engine: Engine, needed: int) -> Iterator[str]:
    """Whether a step fits on the GPUs that are here, or on the CPU in the memory that is free."""
    if engine.on_cpu:
        free, wanted = free_host_bytes(), needed * engine.processes + HOST_BESIDE * engine.processes
        if wanted > free:
            yield (
                f"training needs {wanted / GIB:.1f} GiB with Python's libraries, {free / GIB:.1f} GiB are free: "
                f"{_what_takes_less(values, engine, 'free some')}"
            )
        return
    if not torch.cuda.is_available():
        return
    smallest = min(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    last = "take more GPUs" if engine.in_pieces else "shard with launch/accelerate/zero3.yaml"
    if needed > smallest:
        yield (
            f"a step needs {needed / GIB:.1f} GiB on each GPU, the smallest has {smallest / GIB:.1f}: "
            f"{_what_takes_less(values, engine, last)}"
        )


def _what_takes_less(values: Recipe, engine: Engine, last: str) -> str:
    """Settings that make a step smaller, that the engine takes and the recipe does not have yet, `last` behind them."""
    part = "encoder" if "encoder" in values else "model"
    section = values.get(part) or {}
    lora = (section.get("lora") or {}).get("rank")
    ways = {
        "halve --training.batch_size and double --training.gradient_accumulation": (
            (values.get("training") or {}).get("batch_size") != 1
        ),
        f"add --{part}.gradient_checkpointing true": not section.get("gradient_checkpointing"),
        f"add --{part}.lora.rank 32": not lora,
        "add --model.quantization nf4": (lora and part == "model" and not _wants_four_bits(values) and not engine.fsdp),
    }
    return ", or ".join([*(way for way, helps in ways.items() if helps), last])


def merging(values: Recipe, engine: Engine, merged: int) -> Iterator[str]:
    """Whether the model that one in 4 bits is merged into at the end, of so many bytes, fits the host's memory."""
    free, wanted = free_host_bytes(), merged + HOST_BESIDE * engine.processes
    if _wants_four_bits(values) and wanted > free:
        yield (
            f"at the end the model in 4 bits is merged into a whole one in this machine's memory, which takes "
            f"{wanted / GIB:.1f} GiB with Python's libraries, {free / GIB:.1f} GiB are free: free some, or "
            f"take a smaller base model"
        )


def versions() -> dict[str, str]:
    """Package -> installed version."""
    return {name: version for name in (*PACKAGES, "deepspeed") if (version := _version(name))}


def accelerators() -> str:
    """The GPUs in words."""
    if not torch.cuda.is_available():
        return "no GPU"
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in gpus)


def _packages(values: Recipe, engine: Engine) -> Iterator[str]:
    wanted = list(PACKAGES)
    if engine.zero_stage is not None:
        wanted.append("deepspeed")
    if (values.get("training") or {}).get("tracking") == "wandb":
        wanted.append("wandb")
    for name in wanted:
        if not _version(name):
            yield f"the package {name} is not installed: pip install {name}"
    if _wants_four_bits(values) and not _version("bitsandbytes"):
        yield NOT_INSTALLED
    optimizer = (values.get("training") or {}).get("optimizer", "")
    if is_of_bitsandbytes(optimizer) and not _version("bitsandbytes"):
        yield NO_BITSANDBYTES.format(optimizer)
    if (values.get("model") or {}).get("kernels") == "liger" and not has_liger():
        yield NO_LIGER
    for section in ("model", "encoder"):
        kernel = (values.get(section) or {}).get("attention_implementation") or values.get("attention")
        if kernel == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
            yield "flash attention is not installed: pip install flash-attn --no-build-isolation"


def _base_model(stage: str, values: Recipe, recipe: str) -> Iterator[str]:
    section, key = ("encoder", "pretrained") if stage == "bi_encoder" else ("model", "base")
    base = (values.get(section) or {}).get(key)
    if base is None:
        return
    try:
        source = resolve_source(base, f"{section}.{key}")
    except ValueError as error:
        if stage == "rank" and not str(base).startswith(PACKAGE_PREFIX):
            yield (
                f"{error}; stage one makes it: accelerate launch memorize/train.py --config "
                f"configs/memorize/{recipe}.yaml --task {values.get('task') or 'prepared/NAME'} --output "
                f"{Path(base).parent}"
            )
        else:
            yield str(error)
        return
    if Path(source).is_dir() or isinstance(try_to_load_from_cache(source, "config.json"), str):
        return
    try:
        model_info(source, timeout=HUB_SECONDS)
    except RepositoryNotFoundError:
        yield f"the hub has no model {source}, or not for you: hf auth login, or correct {section}.{key}"
    except Exception:  # a class of the HTTP library, which differs with the version of huggingface_hub
        yield (
            f"the model {source} is not on this machine and the hub cannot be reached: hf download {source} where "
            f"there is a network, then --{section}.{key} FOLDER"
        )


def _wants_four_bits(values: Recipe) -> bool:
    return (values.get("model") or {}).get("quantization", "none") != "none"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
