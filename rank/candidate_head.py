"""The output layer, read at the candidates only, and the scores that it gives them.

A language model's head has a row for each of its 50,000 tokens; stage two needs those of the candidates and of EOV.
Computing these alone saves most of the logits' time and nearly all of their memory, and changes no score.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from mera.language_models.encoder_decoder import encoder_inputs, end_id, is_encoder_decoder, start_id
from mera.system.terminal import progress_bar


class CandidateHead(nn.Linear):
    """A language model's output layer that returns the logits of some tokens, in their order.

    It keeps the whole weight under its usual name, so that saving, tying to the input embedding, sharding and the
    optimiser see the layer that they know.
    """

    token_ids: Tensor
    """(K,) the tokens that are read"""

    def __init__(self, head: nn.Linear, token_ids: Tensor):
        """`token_ids` (K,): the tokens to read."""
        super().__init__(head.in_features, head.out_features, bias=False, device="meta")
        self.weight = head.weight
        self.bias = head.bias
        self.register_buffer("token_ids", token_ids.to(head.weight.device), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden (..., D) -> logits (..., K)."""
        bias = None if self.bias is None else self.bias[self.token_ids]
        weight = self.weight[self.token_ids]
        return F.linear(hidden.to(weight.dtype), weight, bias)


def read_candidates_only(model: PreTrainedModel, candidate_ids: Tensor, eov_id: int) -> None:
    """From now on the model's logits have C + 1 columns: the C candidates, then EOV. The model changes in place.

    Give a LoRA model after it was wrapped: PEFT replaces the head it finds.
    """
    token_ids = torch.cat([candidate_ids, torch.tensor([eov_id])])
    replace_head(model, lambda head: CandidateHead(head, token_ids))


def replace_head(model: PreTrainedModel, make: Callable[[nn.Linear], nn.Linear]) -> None:
    """Put what `make` makes of the output layer in its place, inside LoRA's own module where there is one."""
    head = model.get_output_embeddings()
    if hasattr(head, "modules_to_save"):
        trained = head.modules_to_save
        for name in list(trained):
            trained[name] = make(trained[name])
    else:
        model.set_output_embeddings(make(head))


# Not inference_mode: ZeRO-3 would keep what it gathers in it, and training could not use that afterwards.
@torch.no_grad()
def score_prompts(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    pad_id: int,
    batch_size: int,
    label: str = "ranking",
) -> tuple[np.ndarray, np.ndarray]:
    """scores (N, C) and EOV (N,), float32 logits of the first output token after each prompt.

    `model` reads candidates only. Prompts of similar length share a batch, so that little is padded; the result is in
    the order of `prompts`.
    """
    num_candidates = len(model.get_output_embeddings().token_ids) - 1
    scores = np.empty((len(prompts), num_candidates), dtype=np.float32)
    eov = np.empty(len(prompts), dtype=np.float32)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    was_training = model.training
    model.eval()
    starts = range(0, len(order), batch_size)
    for start in progress_bar(starts, label, "batch", at_least=8):
        indices = order[start : start + batch_size]
        logits = first_logits(model, [prompts[index] for index in indices], pad_id)
        values = logits.float().cpu().numpy()
        scores[indices], eov[indices] = values[:, :-1], values[:, -1]
    model.train(was_training)
    return scores, eov


def first_logits(model: PreTrainedModel, prompts: Sequence[list[int]], pad_id: int) -> Tensor:
    """(B, K) of the first output token of each prompt: the one behind it or, of an encoder-decoder, the decoder's."""
    if is_encoder_decoder(model):
        start = torch.full((len(prompts), 1), start_id(model), device=model.device)
        inputs = prompts_for_encoder(model, prompts, pad_id)
        of_decoder: Tensor = model(**inputs, decoder_input_ids=start, use_cache=False).logits
        return of_decoder[:, -1]
    logits: Tensor = model(**pad_left(prompts, pad_id, model.device), logits_to_keep=1, use_cache=False).logits
    return logits[:, -1]


def prompts_for_encoder(model: PreTrainedModel, prompts: Sequence[list[int]], pad_id: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` (B, T), each prompt ended as the encoder expects it."""
    inputs = encoder_inputs([[*prompt, end_id(model)] for prompt in prompts], pad_id)
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}


def pad_left(prompts: Sequence[list[int]], pad_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and `position_ids` (B, T): every prompt ends in the last column."""
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    width = int(lengths.max())
    input_ids = torch.full((len(prompts), width), pad_id)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
    mask = (torch.arange(width) >= width - lengths[:, None]).long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    inputs = {"input_ids": input_ids, "attention_mask": mask, "position_ids": positions}
    return {name: tensor.to(device) for name, tensor in inputs.items()}
