"""From the hidden states at the ends of branches to scores.

A candidate's score is its log-odds by the first pass, weighted, plus what the language model has to say:

    s_c   = a * log-odds_c + b + v . z(h_c)       h_c: hidden state at the end of c's branch
    s_EOV = log-odds at the first pass's threshold + b' + v' . z'(h)    h: at the prompt's end

z standardises each number of a hidden state by its mean and spread over the ends of some training branches, before
training (z' over those of prompts). All branches end in the same token, so nearly all of a hidden state is the same for
every candidate, and without this what differs is learnt very slowly.

`v` is the difference of two rows of an output layer, one for yes and one for no. They start equal, and a at 1, b and b'
at 0: an untrained verifier ranks as its first pass does, so what it learns is what the first pass does not know.
"""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mera.system.errors import UserError
from mera.training.engine import whole_parameters
from rank.candidate_head import replace_head

SCALE = 10.0
"""At the model's learning rate a number of the size of a logit would lag behind it."""
SMALLEST_SPREAD = 1e-3


class Verification(nn.Module):
    """The trained numbers beside the language model. A submodule of it while it trains, so that every engine updates
    them."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.readouts = nn.Parameter(torch.zeros(2, hidden_size))
        """v and v'"""
        self.biases = nn.Parameter(torch.zeros(2))
        self.log_first_pass_weight = nn.Parameter(torch.zeros(()))
        """log a: the weight stays positive"""
        self.register_buffer("centre", torch.zeros(2, hidden_size))
        self.register_buffer("spread", torch.ones(2, hidden_size))

    centre: Tensor
    """(2, D) means of hidden states, of branches and of prompts"""
    spread: Tensor
    """(2, D) their standard deviations"""

    def forward(self, hidden: Tensor, log_odds: Tensor, is_eov: Tensor) -> Tensor:
        """hidden (R, D), log_odds (R,) and is_eov (R,) bool of R positions -> scores (R,) float32."""
        kind = is_eov.long()
        standard = (hidden.float() - self.centre.float()[kind]) / self.spread.float()[kind]
        read = (standard * self.readouts.float()[kind]).sum(dim=-1) + SCALE * self.biases.float()[kind]
        weight = (SCALE * self.log_first_pass_weight.float()).exp()
        return torch.where(is_eov, log_odds, weight * log_odds) + read

    def standardise(self, hidden: Tensor, is_eov: Tensor) -> None:
        """Take means and spreads from the hidden states (R, D) of R positions, is_eov (R,) bool; there are two or more
        of either kind."""
        for kind, mine in enumerate((~is_eov, is_eov)):
            states = hidden[mine].float()
            self.centre[kind] = states.mean(dim=0)
            self.spread[kind] = states.std(dim=0).clamp(min=SMALLEST_SPREAD)


class HiddenStates(nn.Linear):
    """In the place of a language model's output layer, whose weight it keeps under its usual name: gives the hidden
    states themselves, so that a forward pass of the whole model returns them."""

    def __init__(self, head: nn.Linear):
        super().__init__(head.in_features, head.out_features, bias=False, device="meta")
        self.weight, self.bias = head.weight, head.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D), as they are."""
        return hidden


def read_hidden_states(model: PreTrainedModel) -> None:
    """From now on the model's logits are its last hidden states. The model changes in place; give a LoRA model after it
    was wrapped. Raises UserError where the model caps its logits."""
    if getattr(model.config, "final_logit_softcapping", None):
        raise UserError(
            f"a {model.config.model_type} caps its logits, and would cap the hidden states that a verifier reads in "
            f"their place; choose another base model to verify with"
        )
    replace_head(model, HiddenStates)


def freeze_all_but(model: PreTrainedModel, trained_layers: int) -> None:
    """Train only the last `trained_layers` layers (0: all of them) and what stands behind; the embeddings stay as they
    are. Below the first trained layer nothing is kept for a backward pass, and none goes there. Raises UserError where
    the model has no list of layers."""
    for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()):
        for parameter in cast("nn.Module", embeddings).parameters():
            parameter.requires_grad_(False)
    if not trained_layers:
        return
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    layers = next((found for found in lists if len(found) == model.config.num_hidden_layers), None)
    if layers is None:
        kind = model.config.model_type
        raise UserError(
            f"verification.trained_layers must be 0 for a {kind}, whose layers are not found by their number"
        )
    for layer in layers[: max(0, len(layers) - trained_layers)]:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)


def verification_state(model: nn.Module) -> dict[str, Tensor]:
    """The trained numbers of `model`, on the CPU. Every process must call this."""
    part = cast("Verification", model.verification)  # or PEFT's wrapper of one, which hands its attributes through
    with whole_parameters(model, part):
        return {
            name: cast("Tensor", getattr(part, name)).detach().float().cpu().clone()
            for name in ("readouts", "biases", "log_first_pass_weight", "centre", "spread")
        }
