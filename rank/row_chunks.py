"""The stage-two loss a few rows at a time.

A patient's orders give many rows of thousands of candidates each, and the loss makes some twenty copies of them: for
every level maxima, exponentials and their gradients. Here each chunk of rows is taken through the loss and straight
back to its gradient, so that only the logits and their gradient are ever held as a whole.
"""

from collections.abc import Callable

import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**18
"""Rows x candidates that go through the loss at once: 1 MB in float32."""

ShareOfLoss = Callable[[Tensor, Tensor, slice], Tensor]
"""(scores (n, C), EOV (n,), which rows) -> these rows' share of the loss; the shares of all rows add up to it."""


def loss_in_chunks(
    logits: Tensor, bonus: Tensor | None, row_read: Tensor, row_example: Tensor, share: ShareOfLoss
) -> Tensor:
    """The sum of `share` over all rows, a float32 scalar; its gradient is that of the whole.

    N rows: row n is `logits[row_read[n]]` plus `bonus[row_example[n]]`. logits (R, C + 1), EOV last; bonus (B, C), for
    the candidates, (B, C + 1), for EOV too, or None; row_read, row_example (N,).
    """
    if bonus is None:
        bonus = logits.new_zeros(0)
    return _LossInChunks.apply(logits, bonus, row_read, row_example, share)


class _Context(torch.autograd.function.FunctionCtx):
    """Autograd's context as `_LossInChunks` uses it; the real one takes any attribute."""

    needs_input_grad: tuple[bool, ...]
    """of each argument of `forward`"""
    gradients: tuple[Tensor, ...]
    """of the logits and of the bonus, where any is wanted"""


class _LossInChunks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        logits: Tensor,
        bonus: Tensor,
        row_read: Tensor,
        row_example: Tensor,
        share: ShareOfLoss,
    ) -> Tensor:
        total = torch.zeros((), device=logits.device)
        wanted = any(ctx.needs_input_grad)
        gradients: tuple[Tensor, ...] = ()
        if wanted:
            gradients = (torch.zeros_like(logits), torch.zeros_like(bonus))
        step = max(1, CHUNK_ELEMENTS // logits.shape[1])
        for start in range(0, len(row_read), step):
            rows = slice(start, start + step)
            values = logits[row_read[rows]].float()
            if bonus.numel():
                values[:, : bonus.shape[1]] += bonus[row_example[rows]]
            with torch.set_grad_enabled(wanted):
                values.requires_grad_(wanted)
                loss = share(values[:, :-1], values[:, -1], rows)
            total += loss.detach()
            if wanted:
                (gradient,) = torch.autograd.grad(loss, values)
                gradients[0].index_add_(0, row_read[rows], gradient.to(logits.dtype))
                if bonus.numel():
                    gradients[1].index_add_(0, row_example[rows], gradient[:, : bonus.shape[1]].to(bonus.dtype))
        ctx.gradients = gradients
        return total

    @staticmethod
    def backward(ctx: _Context, upstream: Tensor) -> tuple[Tensor | None, ...]:
        logits, bonus = (gradient.mul_(upstream) for gradient in ctx.gradients)
        del ctx.gradients  # used up: it was scaled in place
        return logits, bonus, None, None, None
