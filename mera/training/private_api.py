"""Every private name of a library that the toolkit leans on, in one place.

Private is what a library does not promise: a leading underscore, an attribute or a method that its documentation does
not have, a value that is replaced at run time. Each entry says where the name is, why it is needed, in which version it
was seen and what to do when it is gone; tests/mera/training/test_private_api.py looks for all of them, so that a new
version of a library (`make test-newest`) fails here first, by name. Code uses them through the functions below; a name
that only one module can use (an import, an overridden method) is used there and listed here.
"""

import atexit
import importlib
import importlib.metadata
import importlib.util
import platform
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub.constants
import torch
from accelerate import DistributedType, PartialState
from torch import nn
from transformers import PreTrainedModel, Trainer

from mera.system.errors import UserError

Operation = Any
"""An operation of torch, as a dispatch mode is told it; its class is private."""
TensorsByName = dict[str, Any]
"""Parameters or buffers of a module, which torch types apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateName:
    """A name that a library may drop without notice."""

    library: str
    """distribution, as pip names it; `python` for the standard library"""
    name: str
    """importable path: a module, or what hangs on one"""
    attribute: str | None = None
    """what the module `name` sets on objects or in the environment, where no import can reach it; it is looked for in
    the module's source"""
    reason: str
    seen_in: str
    """version of the library that has it"""
    remedy: str
    """what to do when it is gone"""

    def __str__(self) -> str:
        return self.name if self.attribute is None else f"{self.attribute} in {self.name}"

    def require(self) -> None:
        """Raises UserError, one sentence, where the installed library does not have it."""
        if not _is_there(self):
            raise UserError(self.absence())

    def absence(self) -> str:
        """The sentence for a library without it."""
        return (
            f"{self.library} {_installed(self.library)} has no {self}, which {self.seen_in} has ({self.reason}): "
            f"{self.remedy}, or install {self.library} {self.seen_in}"
        )


DISPATCH_MODE = PrivateName(
    library="torch",
    name="torch.utils._python_dispatch.TorchDispatchMode",
    reason="sees every tensor that a step makes, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="look for its public successor and count with it in mera/doctor/live_bytes.py",
)
FAKE_TENSOR = PrivateName(
    library="torch",
    name="torch._subclasses.fake_tensor.FakeTensor",
    reason="weights without storage, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="take torch.device('meta') in mera/doctor/live_bytes.py, or whatever took its place",
)
FAKE_TENSOR_MODE = PrivateName(
    library="torch",
    name="torch._subclasses.fake_tensor.FakeTensorMode",
    reason="makes weights without storage, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="take torch.device('meta') in mera/doctor/live_bytes.py, or whatever took its place",
)
TREE_LEAVES = PrivateName(
    library="torch",
    name="torch.utils._pytree.tree_leaves",
    reason="the tensors among an operation's results, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="walk lists, tuples and mappings in mera/doctor/live_bytes.py",
)
READ_A_NUMBER = PrivateName(
    library="torch",
    name="torch.ops.aten._local_scalar_dense",
    reason="the operation behind `item()`, which a tensor without values cannot answer",
    seen_in="2.13",
    remedy="find the operation that `item()` dispatches now, and name it in reads_a_number",
)
OPERATION_SCHEMA = PrivateName(
    library="torch",
    name="torch._ops",
    attribute="_schema",
    reason="the name of an operation, and whether it writes into its arguments",
    seen_in="2.13",
    remedy="find where an operation says so now, and read it in operation_name and writes_in_place",
)
OWN_PARAMETERS = PrivateName(
    library="torch",
    name="torch.nn.Module._parameters",
    reason="puts another tensor in a weight's place without registering it again",
    seen_in="2.13",
    remedy="use register_parameter in own_parameters' callers",
)
OWN_BUFFERS = PrivateName(
    library="torch",
    name="torch.nn.Module._buffers",
    reason="puts another tensor in a buffer's place without registering it again",
    seen_in="2.13",
    remedy="use register_buffer in own_tensors' callers",
)
SAVE_CHECKPOINT = PrivateName(
    library="transformers",
    name="transformers.Trainer._save_checkpoint",
    reason="overridden, so that a checkpoint is complete or absent",
    seen_in="5.24",
    remedy="override what the Trainer calls now to save, in mera/training/stage_trainer.py",
)
SAVE_OPTIMIZER = PrivateName(
    library="transformers",
    name="transformers.Trainer._save_optimizer_and_scheduler",
    reason="writes the optimizer and the schedule into a checkpoint",
    seen_in="5.24",
    remedy="call what Trainer._save_checkpoint calls now, in save_training_state",
)
SAVE_SCALER = PrivateName(
    library="transformers",
    name="transformers.Trainer._save_scaler",
    reason="writes the gradient scaler of fp16 into a checkpoint",
    seen_in="5.24",
    remedy="call what Trainer._save_checkpoint calls now, in save_training_state",
)
SAVE_RANDOM_STATE = PrivateName(
    library="transformers",
    name="transformers.Trainer._save_rng_state",
    reason="writes the random generators into a checkpoint",
    seen_in="5.24",
    remedy="call what Trainer._save_checkpoint calls now, in save_training_state",
)
STEP_ITEMS = PrivateName(
    library="transformers",
    name="transformers.Trainer._get_num_items_in_batch",
    reason="overridden, so that the loss is divided by what the whole step holds",
    seen_in="5.24",
    remedy="override what Trainer.get_batch_samples calls now, in mera/training/stage_trainer.py",
)
CREATE_ACCELERATOR = PrivateName(
    library="transformers",
    name="transformers.Trainer.create_accelerator_and_postprocess",
    reason="overridden, so that FSDP can start on the CPU and leaves the outputs precise",
    seen_in="5.24",
    remedy="override what the Trainer calls now to make its Accelerator, in mera/training/stage_trainer.py",
)
LOSS_IS_SCALED = PrivateName(
    library="transformers",
    name="transformers.Trainer.loss_is_scaled_for_ga",
    reason="set by trainers whose loss is divided by the whole step already, so that it is not divided again",
    seen_in="5.24",
    remedy="say so in the way that Trainer.training_step asks for now, in rank/trainer.py and bi_encoder/trainer.py",
)
DEVICE_MAP = PrivateName(
    library="transformers",
    name="transformers.trainer",
    attribute="hf_device_map",
    reason="marks a model without weights as placed, so that the Trainer does not move it",
    seen_in="5.24",
    remedy="mark it in the way that Trainer.__init__ asks for now, in stay_on_meta",
)
ATTENTION_NAME = PrivateName(
    library="transformers",
    name="transformers.PreTrainedConfig._attn_implementation",
    reason="which attention kernel a model uses, which decides whether stage one flattens its batches",
    seen_in="5.24",
    remedy="read it where set_attn_implementation writes it now, in attention_name",
)
LAYER_CLASSES = PrivateName(
    library="transformers",
    name="transformers.PreTrainedModel._no_split_modules",
    reason="classes of layers that FSDP gathers one by one; accelerate reads it from the bi-encoder",
    seen_in="5.24",
    remedy="name the layers in the way that accelerate asks for now, in bi_encoder/model.py",
)
PREFETCHES = PrivateName(
    library="deepspeed",
    name="deepspeed.runtime.zero.parameter_offload",
    attribute="ds_inflight_param_registry",
    reason="parameters that ZeRO-3 fetches ahead, which cannot be gathered before they have come",
    seen_in="0.19",
    remedy="wait for them in the way that DeepSpeed does now, in wait_for_prefetches",
)
ZERO_ID = PrivateName(
    library="deepspeed",
    name="deepspeed.runtime.zero.partition_parameters",
    attribute="ds_id",
    reason="marks a parameter that ZeRO-3 keeps in pieces",
    seen_in="0.19",
    remedy="ask in the way that deepspeed.runtime.zero.utils.is_zero_param does now, in zero_pieces",
)
DISTRIBUTED_TYPE = PrivateName(
    library="accelerate",
    name="accelerate.state",
    attribute="distributed_type",
    reason="written for processes on the CPU, for which accelerate does not turn FSDP on otherwise",
    seen_in="1.15",
    remedy="see how AcceleratorState turns FSDP on now, in count_as_gpu_processes",
)
COMPACT_LOSS = PrivateName(
    library="trl",
    name="trl.trainer.utils._use_triton",
    reason="replaced, so that `mera doctor` reckons with the loss that TRL takes on a GPU",
    seen_in="1.16",
    remedy="see which positions SFTTrainer.compute_loss takes on a GPU now, in gpu_kernels_of_trl",
)
FORWARD_TILE, BACKWARD_TILE, ADD_PRODUCT = TILES = tuple(
    PrivateName(
        library="trl",
        name=f"trl.kernels.chunked_logprob.{name}",
        reason="replaced by what allocates nothing, as TRL's kernel on a GPU does, for the memory of `mera doctor`",
        seen_in="1.16",
        remedy="see what a tile of the loss allocates now, in gpu_kernels_of_trl",
    )
    for name in ("_forward_tile", "_backward_tile", "_addmm_fp32")
)
TELEMETRY = PrivateName(
    library="huggingface-hub",
    name="huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY",
    reason="set, so that TRL does not report the trainers that are built",
    seen_in="2.4",
    remedy="set the environment variable before anything is imported, or what is asked now",
)
END_THREADS = PrivateName(
    library="python",
    name="threading._shutdown",
    reason="waits for threads where a process ends without taking the interpreter down",
    seen_in="3.11",
    remedy="see what Py_FinalizeEx calls first now, in end_as_python_ends",
)
EXIT_HANDLERS = PrivateName(
    library="python",
    name="atexit._run_exitfuncs",
    reason="calls exit handlers where a process ends without taking the interpreter down",
    seen_in="3.11",
    remedy="see what Py_FinalizeEx calls now, in end_as_python_ends",
)
LAUNCH_VARIABLES = tuple(
    PrivateName(
        library="accelerate",
        name="accelerate.utils.launch",
        attribute=name,
        reason="how `accelerate launch` tells a process its engine, before an Accelerator is made",
        seen_in="1.15",
        remedy="read what `accelerate launch` sets now, in mera/training/engine.py",
    )
    for name in (
        *("ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_ZERO_STAGE"),
        "ACCELERATE_USE_FSDP",
    )
)
ONLY_LISTED = (
    PrivateName(
        library="transformers",
        name="transformers.Trainer.set_initial_training_values",
        reason="steps and examples of a run, for `--dry-run` and `mera doctor`",
        seen_in="5.24",
        remedy="ask in the way that Trainer.train does now, in mera/doctor/step_estimate.py:run_length",
    ),
    PrivateName(
        library="transformers",
        name="transformers.Trainer.get_batch_samples",
        reason="the batches of a step and what they count, for the memory that `mera doctor` reckons",
        seen_in="5.24",
        remedy="ask in the way that Trainer.train does now, in mera/doctor/step_estimate.py",
    ),
    PrivateName(
        library="transformers",
        name="transformers.Trainer.store_flos",
        reason="part of a checkpoint's state",
        seen_in="5.24",
        remedy="call what Trainer._save_checkpoint calls now, in save_training_state",
    ),
    PrivateName(
        library="transformers",
        name="transformers.trainer_callback.ExportableState",
        reason="callbacks whose state belongs into a checkpoint",
        seen_in="5.24",
        remedy="ask callbacks in the way that Trainer._save_checkpoint does now, in mera/training/stage_trainer.py",
    ),
    PrivateName(
        library="transformers",
        name="transformers.trainer_pt_utils.LengthGroupedSampler",
        reason="batches of similar length, in an order that seed and epoch decide",
        seen_in="5.24",
        remedy="copy it into mera/training/steps.py: another order would change every result",
    ),
    PrivateName(
        library="transformers",
        name="transformers.modeling_utils",
        attribute="all_tied_weights_keys",
        reason="weights that are written once because others are the same",
        seen_in="5.24",
        remedy="ask in the way that save_pretrained does now, in mera/training/checkpoint.py",
    ),
    *(
        PrivateName(
            library="transformers",
            name="transformers.trainer",
            attribute=name,
            reason="under which engine a Trainer trains",
            seen_in="5.24",
            remedy="ask in the way that the Trainer does now, in mera/training/engine.py",
        )
        for name in ("is_deepspeed_enabled", "is_fsdp_enabled")
    ),
    PrivateName(
        library="peft",
        name="peft.utils.other",
        attribute="modules_to_save",
        reason="the copy of an output layer that trains beside LoRA, which stage two replaces",
        seen_in="0.21",
        remedy="see what PEFT wraps an output layer in now, in rank/candidate_head.py",
    ),
    PrivateName(
        library="datasets",
        name="datasets.table.InMemoryTable",
        reason="a Dataset from Arrow tables that are in memory already",
        seen_in="5.2",
        remedy="build it from what datasets offers now, in data/task_folder/parts.py",
    ),
    PrivateName(
        library="datasets",
        name="datasets.table",
        attribute="table",
        reason="the Arrow table of a Dataset, read without a copy",
        seen_in="5.2",
        remedy="ask in the way that Dataset.with_format('arrow') does now, in data/task.py",
    ),
    PrivateName(
        library="sentence-transformers",
        name="sentence_transformers.base.modules.transformer",
        attribute="_flatten_position_offset",
        reason="the number of a text's first position, where the bi-encoder computes no padding",
        seen_in="6.2",
        remedy="read it where the Transformer module keeps it now, in bi_encoder, or set encoder.unpadded to false",
    ),
    PrivateName(
        library="sentence-transformers",
        name="sentence_transformers.base.modules.transformer",
        attribute="can_flatten_inputs",
        reason="whether an encoder's attention can tell the texts of one row apart",
        seen_in="6.2",
        remedy="ask in the way that the Transformer module does now, in bi_encoder, or set encoder.unpadded to false",
    ),
)
"""Names that one module uses where it needs them, with no function here between."""
PRIVATE_NAMES = (
    *(DISPATCH_MODE, FAKE_TENSOR, FAKE_TENSOR_MODE, TREE_LEAVES, READ_A_NUMBER, OPERATION_SCHEMA),
    *(OWN_PARAMETERS, OWN_BUFFERS, SAVE_CHECKPOINT, SAVE_OPTIMIZER, SAVE_SCALER, SAVE_RANDOM_STATE, STEP_ITEMS),
    *(CREATE_ACCELERATOR, LOSS_IS_SCALED, DEVICE_MAP, ATTENTION_NAME, LAYER_CLASSES, PREFETCHES, ZERO_ID),
    *(DISTRIBUTED_TYPE, COMPACT_LOSS, *TILES, TELEMETRY, END_THREADS, EXIT_HANDLERS, *LAUNCH_VARIABLES, *ONLY_LISTED),
)


@contextmanager
def explained(*names: PrivateName) -> Iterator[None]:
    """Around imports of `names`: UserError, one sentence, in the place of an ImportError."""
    try:
        yield
    except ImportError:
        for name in names:
            name.require()
        raise


def require_overridden_names() -> None:
    """Raises UserError where a Trainer has lost a name that StageTrainer overrides or sets: Python would call nothing
    of ours then, and say nothing."""
    for name in (SAVE_CHECKPOINT, STEP_ITEMS, CREATE_ACCELERATOR, LOSS_IS_SCALED):
        name.require()


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The parameters of `module` itself, not of its submodules, by name; another one may be put in a place of it."""
    OWN_PARAMETERS.require()
    return module._parameters


def own_tensors(module: nn.Module) -> tuple[TensorsByName, TensorsByName]:
    """The parameters and the buffers of `module` itself, as `own_parameters`."""
    OWN_BUFFERS.require()
    return own_parameters(module), module._buffers


def reads_a_number(operation: Operation) -> bool:
    """Whether an operation of torch is the one behind `tensor.item()`."""
    return operation is torch.ops.aten._local_scalar_dense.default


def operation_name(operation: Operation) -> str:
    """`aten::empty`, ..."""
    return operation._schema.name


def writes_in_place(operation: Operation) -> bool:
    """Whether an operation of torch writes into one of its arguments."""
    return operation._schema.is_mutable


def save_training_state(trainer: Trainer, folder: str) -> None:
    """Write model, optimizer, schedule, gradient scaler and random generators, as Trainer._save_checkpoint does; every
    process must call it."""
    for name in (SAVE_OPTIMIZER, SAVE_SCALER, SAVE_RANDOM_STATE):
        name.require()
    trainer.store_flos()
    trainer.save_model(folder, _internal_call=True)
    trainer._save_optimizer_and_scheduler(folder)
    trainer._save_scaler(folder)
    trainer._save_rng_state(folder)


def stay_on_meta(model: PreTrainedModel) -> None:
    """Mark a model on the meta device as placed: the Trainer leaves it where it is."""
    DEVICE_MAP.require()
    model.hf_device_map = {"": "meta"}


def attention_name(model: PreTrainedModel) -> str:
    """The attention kernel that `model` uses, empty where none is named."""
    ATTENTION_NAME.require()
    return model.config._attn_implementation or ""


def layer_classes(model: PreTrainedModel) -> Sequence[str]:
    """Names of the classes of layers that must not be split over devices."""
    LAYER_CLASSES.require()
    return tuple(model._no_split_modules or ())


def zero_pieces(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that DeepSpeed's ZeRO-3 keeps in pieces; none under another engine."""
    if "deepspeed" in sys.modules:
        ZERO_ID.require()
    return [parameter for parameter in module.parameters() if hasattr(parameter, "ds_id")]


def wait_for_prefetches(model: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
    """Wait until those of `parameters` are there that ZeRO-3 is fetching ahead for `model`."""
    PREFETCHES.require()
    on_their_way = getattr(model, "ds_inflight_param_registry", {})
    for parameter in parameters:
        if parameter in on_their_way:
            on_their_way.pop(parameter).wait()


def count_as_gpu_processes(state: PartialState) -> None:
    """Let processes on the CPU call themselves processes with GPUs, so that accelerate turns FSDP on for them."""
    DISTRIBUTED_TYPE.require()
    state.distributed_type = DistributedType.MULTI_GPU  # all instances of PartialState share their attributes


@contextmanager
def gpu_kernels_of_trl() -> Iterator[None]:
    """Within it TRL's chunked loss allocates, on tensors without values, what it allocates on a GPU.

    There it multiplies only the positions that carry loss by the output matrix, and its kernels work on the products in
    place; elsewhere it takes all positions, and each operation makes a tensor of its own.
    """
    for name in (COMPACT_LOSS, *TILES):
        name.require()
    from trl.kernels import chunked_logprob
    from trl.trainer import utils as trl_utils

    with (
        _replaced(trl_utils, "_use_triton", lambda device: True),
        _replaced(chunked_logprob, "_forward_tile", _in_place),
        _replaced(chunked_logprob, "_backward_tile", _in_place),
        _replaced(chunked_logprob, "_addmm_fp32", _in_place),
    ):
        yield


def disable_telemetry() -> None:
    """Let no Hugging Face library report what is built."""
    TELEMETRY.require()
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True


def end_as_python_ends() -> None:
    """Wait for threads and call exit handlers, as Python does before it takes the interpreter down."""
    threading._shutdown()
    atexit._run_exitfuncs()


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _in_place(*_: object, **__: object) -> None:
    """In the place of a kernel that allocates nothing, where tensors have no values."""


@cache
def _is_there(name: PrivateName) -> bool:
    if name.attribute is not None:
        return re.search(rf"\b{name.attribute}\b", _source(name.name)) is not None
    parts, target = name.name.split("."), None
    for end in range(len(parts), 0, -1):
        try:
            target = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        break
    if target is None:
        return False
    for part in parts[end:]:
        if not hasattr(target, part):
            return part in getattr(target, "__annotations__", {})
        target = getattr(target, part)
    return True


def _source(module: str) -> str:
    """The text of a module, which is not imported; empty where there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return ""
    return "" if spec is None or spec.origin is None else Path(spec.origin).read_text(encoding="utf-8")


def _installed(library: str) -> str:
    if library == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
