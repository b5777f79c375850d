"""The output layer, read at the candidates only.

A language model's head has a row for each of its 50,000 tokens; stage two needs those of the candidates and of EOV.
Computing these alone saves most of the logits' time and nearly all of their memory, and changes no score.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel


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
        return F.linear(hidden, self.weight[self.token_ids], bias)


def read_candidates_only(model: PreTrainedModel, candidate_ids: Tensor, eov_id: int) -> None:
    """From now on the model's logits have C + 1 columns: the C candidates, then EOV. The model changes in place.

    Give a LoRA model after it was wrapped: PEFT replaces the head it finds.
    """
    token_ids = torch.cat([candidate_ids, torch.tensor([eov_id])])
    head = model.get_output_embeddings()
    if hasattr(head, "modules_to_save"):
        trained = head.modules_to_save
        for name in list(trained):
            trained[name] = CandidateHead(trained[name], token_ids)
    else:
        model.set_output_embeddings(CandidateHead(head, token_ids))
