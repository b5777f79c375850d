"""What a verifier starts from: a language model that gives hidden states, and the first pass's candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from mera.evaluation.metrics import mean_average_precision
from mera.language_models.code_tokens import CodeTokens, stored_or_new_code_tokens
from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.language_models.lora import add_lora
from mera.language_models.models import load_base_model
from mera.system.errors import UserError
from mera.training.engine import shares_out_parameters
from mera.training.model_memory import require_memory
from rank.attention.kernels import use_kernel
from rank.config import RankConfig
from rank.decision import ranking_quality
from rank.prompt import PromptBuilder, plain_code_sentences, reading_sentences
from rank.start import require_positions
from rank.verification.branches import LONGEST_BRANCH, VerificationCollator, VerificationDataset, branches_of_codes
from rank.verification.first_pass import Candidates, FirstPass
from rank.verification.head import Verification, freeze_all_but, read_hidden_states
from rank.verification.scoring import scores_of_all_codes, standardise, verify


def verifier_for_task(config: RankConfig, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, CodeTokens]:
    """The model as it is trained, its tokenizer and its code tokens, as `rank.start.model_for_task` makes them; in the
    same order, for the same reasons. Raises UserError on an encoder-decoder."""
    require_memory(config.model)
    model, tokenizer = load_base_model(config.model, task.definitions)
    if is_encoder_decoder(model):
        raise UserError(
            "candidates: only a causal model can verify them, and model.base is an encoder-decoder; leave --candidates "
            "out, or choose a causal base model"
        )
    definitions = dict(zip(task.codes, task.definitions, strict=True))
    code_tokens = stored_or_new_code_tokens(config.model.base, model, tokenizer, definitions, config.initialisation)
    require_positions(model, config.prompt, LONGEST_BRANCH)
    use_kernel(model, config.attention, trains=config.model.weights != "none")
    model.verification = Verification(model.config.hidden_size)
    if config.model.lora.rank:
        model = add_lora(model, config.model.lora, whole=["verification"])
    read_hidden_states(model)
    freeze_all_but(model, config.verification.trained_layers)
    return model, tokenizer, code_tokens


STANDARDISED_ON = 16
"""Training notes."""


@dataclass(frozen=True, slots=True)
class VerifiedSplit:
    """A split as the verifier reads it."""

    prompts: list[list[int]]
    candidates: Candidates
    targets: np.ndarray
    """(N, C) bool"""
    sentences: list[str]
    """what is not read of it, in counts"""


class VerifierInputs:
    """The splits of a task with their candidates, tokenized; `measure` ranks validation with a model."""

    def __init__(self, task: Task, builder: PromptBuilder, first_pass: FirstPass, batch_size: int):
        self.task, self.builder, self.first_pass, self.batch_size = task, builder, first_pass, batch_size
        self.branches = branches_of_codes(builder.tokenizer, task.codes, task.definitions)
        pad_id = builder.tokenizer.pad_token_id
        self.collator = VerificationCollator(len(task.codes), pad_id, first_pass.scale.intercept)
        self.validation = self.split("validation")

    def split(self, name: str, candidates: Candidates | None = None) -> VerifiedSplit:
        """`candidates`: where they have been read."""
        rows = list(self.task.splits[name])
        candidates = candidates or self.first_pass.candidates(name, rows)
        prompts = [self.builder.build(row) for row in rows]
        targets = self.task.targets(name)
        sentences = [
            *reading_sentences(prompts, name, self.builder.config.past_note_tokens),
            *plain_code_sentences(prompts, name),
            self.first_pass.sentence(name, candidates, targets),
        ]
        return VerifiedSplit([prompt.ids for prompt in prompts], candidates, targets, sentences)

    def training_examples(self, split: VerifiedSplit, train_candidates: int, seed: int) -> VerificationDataset:
        targets = [np.flatnonzero(row).tolist() for row in split.targets]
        return VerificationDataset(split.prompts, targets, split.candidates, self.branches, train_candidates, seed)

    def standardise(self, model: PreTrainedModel, examples: VerificationDataset) -> None:
        """Standardise the hidden states that `model` reads by those of some training examples; not where its weights
        are in pieces, or absent, before the engine has it."""
        if model.device.type == "meta" or shares_out_parameters():
            return
        rows = np.random.default_rng(0).permutation(len(examples))[:STANDARDISED_ON].tolist()
        standardise(model, (self.collator([examples[row]]) for row in rows))

    def verified(self, model: PreTrainedModel, split: VerifiedSplit, label: str) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, K) of the candidates, EOV (N,)."""
        return verify(model, split.prompts, split.candidates, self.branches, self.collator, self.batch_size, label)

    def measure(self, model: PreTrainedModel) -> dict[str, float]:
        """Of the validation split; `first_pass_` says what the first pass alone has there."""
        scores = scores_of_all_codes(*self.verified(model, self.validation, "validation"), self.validation.candidates)
        first_pass = self.validation.candidates.log_odds
        return {
            "mean_average_precision": mean_average_precision(scores, self.validation.targets),
            "first_pass_mean_average_precision": mean_average_precision(first_pass, self.validation.targets),
            **ranking_quality(scores, self.validation.targets),
        }


def data_sentences(task: Task, splits: Sequence[VerifiedSplit]) -> list[str]:
    """What the verifier does not see of the task's patients, in counts only."""
    outside = task.outside_sentence("train")
    return [*([] if outside is None else [outside]), *(sentence for split in splits for sentence in split.sentences)]
