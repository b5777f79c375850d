"""What stage two starts from: a model with a token for each candidate, and the training examples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task, load_task, with_few_held_out, without_events
from mera.language_models.code_tokens import (
    EOV,
    CodeTokens,
    add_event_tokens,
    marker_id,
    stored_or_new_code_tokens,
    token_ids,
)
from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.language_models.lora import add_lora
from mera.language_models.models import load_base_model
from mera.runs.other_splits.trained_on import refuse_trained_on_test
from mera.system.errors import UserError
from mera.training.model_memory import require_memory
from rank.attention.kernels import use_kernel
from rank.candidate_head import read_candidates_only
from rank.config import PromptConfig, RankConfig
from rank.loss import stage_two_loss
from rank.partial_outputs import RankingDataset
from rank.patients.visit_events import event_names
from rank.prompt import PromptBuilder, plain_code_sentences, reading_sentences
from rank.validation import Validation
from rank.wide.features import WidePatient
from rank.wide.fit import fit_wide_part
from rank.wide.recurrence import Recurrence, seen_codes
from rank.wide.wide_part import WideLoss, WidePart, WideScorer


def task_to_rank(config: RankConfig, held_out: int | None) -> Task:
    """The prepared task; of validation and test at most `held_out` examples, None: all. It knows no events where the
    configuration reads none; a verifier never does.

    Raises UserError where it cannot be read, lacks the notes that the prompt is to hold, or where the base model has
    been trained on patients of its test split.
    """
    task = load_task(config.task)
    refuse_trained_on_test("model.base", config.model.base, task.splits["test"]["patient_id"])
    require_past_notes(task, config.prompt)
    if not config.prompt.max_events or config.candidates is not None:
        task = without_events(task)
    return task if held_out is None else with_few_held_out(task, held_out)


def require_past_notes(task: Task, prompt: PromptConfig) -> None:
    """Raise UserError where the prompt is to hold notes of past visits and the task has none."""
    if prompt.past_note_tokens and not task.has_past_notes:
        raise UserError(
            f"prompt.past_note_tokens is {prompt.past_note_tokens}, but {task.path} has no notes of past visits; "
            f"prepare it with `mera prepare SOURCE --past-notes`, or set prompt.past_note_tokens to 0"
        )


@dataclass(frozen=True, slots=True)
class WideStart:
    """The wide part before the language model trains, and the training rows as it reads them."""

    scorer: WideScorer
    patients: list[WidePatient]


def fitted_wide_part(config: RankConfig, task: Task) -> WideStart | None:
    """The wide part fitted alone, by `wide_loss`; None where the configuration does not ask for a full one."""
    if config.wide != "full":
        return None
    scorer, patients = fit_wide_part(task, wide_loss(config, task), config.training.seed)
    if config.loss.untrained == "negative":
        scorer = replace(scorer, start=scorer.weights)
    return WideStart(scorer, patients)


def untrained_codes(config: RankConfig, task: Task) -> Tensor | None:
    """(C,) bool: the candidates that the loss leaves out because no training example has them as a target; None where
    they are negatives as others are."""
    return torch.from_numpy(task.train_counts == 0) if config.loss.untrained == "ignore" else None


def wide_loss(config: RankConfig, task: Task) -> WideLoss:
    """The loss that the whole model is trained with, but at one level, all candidates."""
    loss = replace(config.loss, levels=("all",), level_weights=None, temperature=1.0)
    one_group, left_out = torch.from_numpy(task.group_ids(["all"])), untrained_codes(config, task)

    def row_loss(scores: Tensor, eov: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
        of_positives = None if config.repeated_weight == 1 else 1 + (config.repeated_weight - 1) * seen
        ignored = torch.zeros_like(targets) if left_out is None else left_out.expand_as(targets) & ~targets
        return stage_two_loss(scores, eov, targets, ignored, one_group, loss, positive_weights=of_positives)

    return row_loss


def model_for_task(
    config: RankConfig, task: Task, wide: WideStart | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, CodeTokens]:
    """The model as it is trained, its tokenizer and its code tokens: those of a checkpoint of stage one as they are;
    any other base model gets its own here (no stage one).

    `wide`: what `fitted_wide_part` returned. The steps have one right order. The attention kernel is that of the plain
    model, which LoRA wraps. The wide part is there before LoRA, which freezes all that it finds but what it is told to
    train whole. The head comes last: LoRA on
    an untied head puts a module of its own in the place of the head it finds, and inside that one the candidates are
    read.

    Raises UserError where the checkpoint lacks tokens for the task's codes, or the kernel cannot train here.
    """
    require_memory(config.model)
    model, tokenizer = load_base_model(config.model, task.definitions)
    definitions = dict(zip(task.codes, task.definitions, strict=True))
    code_tokens = stored_or_new_code_tokens(config.model.base, model, tokenizer, definitions, config.initialisation)
    code_tokens = add_event_tokens(model, tokenizer, code_tokens, event_names(task), config.initialisation)
    require_positions(model, config.prompt, config.max_targets if config.orders else 0)
    use_kernel(model, config.attention, trains=config.model.weights != "none")
    whole = []
    if wide is not None:
        model.wide, whole = WidePart(wide.scorer.weights), ["wide"]
    elif config.wide == "recurrence":
        model.recurrence, whole = Recurrence(len(task.codes)), ["recurrence"]
    if config.model.lora.rank:
        model = add_lora(model, config.model.lora, whole=whole)
    read_candidates_only(model, token_ids(tokenizer, task.codes), marker_id(tokenizer, EOV))
    return model, tokenizer, code_tokens


def codes_written_out(task: Task, tokens: Mapping[str, str]) -> dict[str, str]:
    """Codes of the training histories that have no token, since they are no candidates, with their definitions: what
    the prompts held as plain text."""
    histories = task.splits["train"].select_columns(["history"])
    read = {code for row in histories for visit in row["history"] or [] for code in visit["codes"]}
    return {code: task.all_definitions[code] for code in sorted(read - tokens.keys())}


def require_positions(model: PreTrainedModel, prompt: PromptConfig, behind: int) -> None:
    """Raises UserError where the longest prompt, with `behind` tokens behind it, has more tokens than there are vectors
    of positions, in a model that has learned one for each (GPT-2); turns and distances have no end."""
    known = getattr(model.config, "max_position_embeddings", None)
    embeddings = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    is_learned = any(module is not model.get_input_embeddings() for module in embeddings)
    needed = prompt.max_tokens + behind
    if is_learned and not is_encoder_decoder(model) and known is not None and known < needed:
        raise UserError(
            f"inputs may have {needed:,} tokens (prompt.max_tokens {prompt.max_tokens:,} and {behind} behind it),"
            f" and the model has {known:,} positions; lower prompt.max_tokens"
        )


def training_examples(
    task: Task, builder: PromptBuilder, config: RankConfig, wide: WideStart | None = None
) -> RankingDataset:
    """The task's training rows as prompts and target columns. Rows are read once, one at a time: notes are long.

    True codes that are no candidates have no column, so they are neither positives nor negatives.
    """
    column = task.column
    prompts, seen = [], []
    for row in task.splits["train"]:
        prompts.append(builder.build(row))
        seen.append(seen_codes(row["history"], column))
    return RankingDataset(
        prompts,
        task.target_columns("train"),
        seen,
        num_orders=config.orders,
        max_targets=config.max_targets,
        seed=config.training.seed,
        history_dropout=config.history_dropout,
        shuffle_codes=config.shuffle_codes,
        wide=None if wide is None else wide.patients,
    )


def data_sentences(task: Task, examples: RankingDataset, validation: Validation, prompt: PromptConfig) -> list[str]:
    """What training does not see of the task's patients, in counts only: what the prompts do not hold, and the true
    codes of train that are no candidates."""
    outside = task.outside_sentence("train")
    unread = "the task has notes of past visits, which are not read: --prompt.past_note_tokens 256 reads them"
    return [
        *validation.sentences,
        *([unread] if task.has_past_notes and not prompt.past_note_tokens else []),
        *([] if outside is None else [outside]),
        *reading_sentences(examples.prompts, "train", prompt.past_note_tokens),
        *plain_code_sentences(examples.prompts, "train"),
    ]
