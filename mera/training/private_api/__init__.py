"""Every private name of a library that the toolkit leans on, in one place: a file for each library.

Private is what a library does not promise: a leading underscore, an attribute or a method that its documentation does
not have, a value that is replaced at run time. Each entry says where the name is, why it is needed, in which version it
was seen and what to do when it is gone; tests/mera/training/test_private_api.py looks for all of them, so that a new
version of a library (`make test-newest`) fails here first, by name. Code uses them through the functions here; a name
that only one module can use (an import, an overridden method) is used there and listed here.
"""

from mera.training.private_api import of_other_libraries, of_transformers
from mera.training.private_api.of_accelerate import DISTRIBUTED_TYPE, LAUNCH_VARIABLES, count_as_gpu_processes
from mera.training.private_api.of_bitsandbytes import (
    BLOCK_MAXIMA,
    BLOCK_WEIGHTS,
    CPU_LAYOUT,
    QUANTIZED_STATE,
    hollow_quantized_layer,
    keep_layout,
    quantized_layer,
    quantized_weight,
)
from mera.training.private_api.of_deepspeed import (
    COMPILED_REDUCTION,
    PREFETCHES,
    ZERO_ID,
    start_deepspeed_on_the_cpu,
    wait_for_prefetches,
    zero_pieces,
)
from mera.training.private_api.of_other_libraries import TELEMETRY, disable_telemetry
from mera.training.private_api.of_python import END_THREADS, EXIT_HANDLERS, end_as_python_ends
from mera.training.private_api.of_torch import (
    DISPATCH_MODE,
    FAKE_TENSOR,
    FAKE_TENSOR_MODE,
    KEPT_ACTIVATIONS,
    MOST_COMPILED,
    OPERATION_SCHEMA,
    OWN_BUFFERS,
    OWN_MODULES,
    OWN_PARAMETERS,
    READ_A_NUMBER,
    TREE_LEAVES,
    Operation,
    copy_with_modules,
    kept_activations,
    most_compiled_shapes,
    operation_name,
    own_parameters,
    own_tensors,
    reads_a_number,
    writes_in_place,
)
from mera.training.private_api.of_transformers import (
    ATTENTION_NAME,
    CREATE_ACCELERATOR,
    DEVICE_MAP,
    LAYER_CLASSES,
    LOSS_IS_SCALED,
    SAVE_CHECKPOINT,
    SAVE_OPTIMIZER,
    SAVE_RANDOM_STATE,
    SAVE_SCALER,
    STEP_ITEMS,
    attention_name,
    layer_classes,
    require_overridden_names,
    save_training_state,
    stay_on_meta,
)
from mera.training.private_api.of_trl import COMPACT_LOSS, TILES, gpu_kernels_of_trl
from mera.training.private_api.private_name import PrivateName, explained

ONLY_LISTED = (*of_transformers.ONLY_LISTED, *of_other_libraries.ONLY_LISTED)
"""Names that one module uses where it needs them, with no function here between."""
PRIVATE_NAMES = (
    *(DISPATCH_MODE, FAKE_TENSOR, FAKE_TENSOR_MODE, TREE_LEAVES, READ_A_NUMBER, OPERATION_SCHEMA),
    *(OWN_PARAMETERS, OWN_MODULES, OWN_BUFFERS, SAVE_CHECKPOINT, SAVE_OPTIMIZER, SAVE_SCALER, SAVE_RANDOM_STATE),
    *(STEP_ITEMS, CREATE_ACCELERATOR, LOSS_IS_SCALED, DEVICE_MAP, ATTENTION_NAME, LAYER_CLASSES, PREFETCHES, ZERO_ID),
    *(DISTRIBUTED_TYPE, COMPACT_LOSS, *TILES, TELEMETRY, END_THREADS, EXIT_HANDLERS, *LAUNCH_VARIABLES, *ONLY_LISTED),
    *(COMPILED_REDUCTION, QUANTIZED_STATE, CPU_LAYOUT, MOST_COMPILED, KEPT_ACTIVATIONS),
)
__all__ = [
    "ATTENTION_NAME",
    "BLOCK_MAXIMA",
    "BLOCK_WEIGHTS",
    "COMPACT_LOSS",
    "COMPILED_REDUCTION",
    "CPU_LAYOUT",
    "CREATE_ACCELERATOR",
    "DEVICE_MAP",
    "DISPATCH_MODE",
    "DISTRIBUTED_TYPE",
    "END_THREADS",
    "EXIT_HANDLERS",
    "FAKE_TENSOR",
    "FAKE_TENSOR_MODE",
    "KEPT_ACTIVATIONS",
    "LAUNCH_VARIABLES",
    "LAYER_CLASSES",
    "LOSS_IS_SCALED",
    "MOST_COMPILED",
    "ONLY_LISTED",
    "OPERATION_SCHEMA",
    "OWN_BUFFERS",
    "OWN_MODULES",
    "OWN_PARAMETERS",
    "PREFETCHES",
    "PRIVATE_NAMES",
    "QUANTIZED_STATE",
    "READ_A_NUMBER",
    "SAVE_CHECKPOINT",
    "SAVE_OPTIMIZER",
    "SAVE_RANDOM_STATE",
    "SAVE_SCALER",
    "STEP_ITEMS",
    "TELEMETRY",
    "TILES",
    "TREE_LEAVES",
    "ZERO_ID",
    "Operation",
    "PrivateName",
    "attention_name",
    "copy_with_modules",
    "count_as_gpu_processes",
    "disable_telemetry",
    "end_as_python_ends",
    "explained",
    "gpu_kernels_of_trl",
    "hollow_quantized_layer",
    "keep_layout",
    "kept_activations",
    "layer_classes",
    "most_compiled_shapes",
    "operation_name",
    "own_parameters",
    "own_tensors",
    "quantized_layer",
    "quantized_weight",
    "reads_a_number",
    "require_overridden_names",
    "save_training_state",
    "start_deepspeed_on_the_cpu",
    "stay_on_meta",
    "wait_for_prefetches",
    "writes_in_place",
    "zero_pieces",
]
