"""Private names of transformers: what a Trainer saves, counts and calls, and what a model says of itself."""

from collections.abc import Sequence

from transformers import PreTrainedModel, Trainer

from mera.training.private_api.private_name import PrivateName

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
PREPARE = PrivateName(
    library="transformers",
    name="transformers.Trainer._prepare_for_training",
    reason="overridden, so that ZeRO can load a checkpoint of another number of processes into its engine",
    seen_in="5.24",
    remedy="override what the Trainer calls now to build its engine and load a checkpoint, in stage_trainer.py",
)
LOAD_BEST = PrivateName(
    library="transformers",
    name="transformers.Trainer._load_best_model",
    reason="overridden, so that the best checkpoint may be one that another number of ZeRO processes wrote",
    seen_in="5.24",
    remedy="override what the Trainer calls now to load its best checkpoint, in mera/training/stage_trainer.py",
)
LOAD_SCHEDULE = PrivateName(
    library="transformers",
    name="transformers.Trainer._load_optimizer_and_scheduler",
    reason="reads the schedule of a checkpoint, and under DeepSpeed that alone",
    seen_in="5.24",
    remedy="call what Trainer._prepare_for_training calls now, in load_schedule",
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
RUN_EPOCH = PrivateName(
    library="transformers",
    name="transformers.Trainer._run_epoch",
    reason="overridden, so that a run which goes on from its last step takes no further one",
    seen_in="5.24",
    remedy="override what the Trainer calls now for an epoch, in mera/training/stage_trainer.py",
)
EVALUATE = PrivateName(
    library="transformers",
    name="transformers.Trainer._evaluate",
    reason="overridden, so that a look which a signal left out is made up for",
    seen_in="5.24",
    remedy="override what the Trainer calls now where `eval_on_start` is set, in mera/training/stage_trainer.py",
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
ONLY_LISTED = (
    PrivateName(
        library="transformers",
        name="transformers.Trainer._determine_best_metric",
        reason="says whether a look at validation that was made up for is the best",
        seen_in="5.24",
        remedy="ask as the Trainer does now after a look, in mera/training/stage_trainer.py",
    ),
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
    PrivateName(
        library="transformers",
        name="transformers.models.t5.modeling_t5.T5Attention.compute_bias",
        reason="T5's bias of distances, which stage two gives to orders that stand behind each other in one row",
        seen_in="5.24",
        remedy="see in rank/attention/kernels.py what a T5 is given, and where it makes and takes position_bias now",
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
)
"""Names that one module uses where it needs them, with no function here between."""


LOOKS = (RUN_EPOCH, EVALUATE)


def require_overridden_names() -> None:
    """Raises UserError where a Trainer has lost a name that StageTrainer overrides or sets: Python would call nothing
    of ours then, and say nothing."""
    for name in (SAVE_CHECKPOINT, STEP_ITEMS, CREATE_ACCELERATOR, LOSS_IS_SCALED, PREPARE, LOAD_BEST, *LOOKS):
        name.require()


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


def load_schedule(trainer: Trainer, folder: str) -> None:
    """Under DeepSpeed: read the learning-rate schedule of a checkpoint, and set its present learning rates."""
    LOAD_SCHEDULE.require()
    trainer._load_optimizer_and_scheduler(folder)
    assert trainer.lr_scheduler is not None, "the Trainer has made it"
    assert trainer.optimizer is not None, "the Trainer has made it"
    for group, rate in zip(trainer.optimizer.param_groups, trainer.lr_scheduler.get_last_lr(), strict=True):
        group["lr"] = rate


def stay_on_meta(model: PreTrainedModel) -> None:
    """Mark a model on the meta device as placed: the Trainer leaves it where it is."""
    DEVICE_MAP.require()
    model.hf_device_map = {"": "meta"}  # type: ignore[assignment]  # a mark on the model, no part of it


def attention_name(model: PreTrainedModel) -> str:
    """The attention kernel that `model` uses, empty where none is named."""
    ATTENTION_NAME.require()
    return model.config._attn_implementation or ""


def layer_classes(model: PreTrainedModel) -> Sequence[str]:
    """Names of the classes of layers that must not be split over devices."""
    LAYER_CLASSES.require()
    return tuple(model._no_split_modules or ())
