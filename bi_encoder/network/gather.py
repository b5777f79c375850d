"""Gathering the embeddings of all processes into each, with gradients: the in-batch negatives of a distributed step."""

import torch
import torch.distributed
from torch import Tensor
from torch.autograd.function import FunctionCtx


def num_processes() -> int:
    """1 where training is not distributed."""
    initialized = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if initialized else 1


def process_index() -> int:
    return torch.distributed.get_rank() if num_processes() > 1 else 0


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(context: FunctionCtx, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(num_processes())]
        torch.distributed.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(context: FunctionCtx, gradient: Tensor) -> Tensor:
        # Every backend can sum over processes; few can sum and scatter in one.
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total.chunk(num_processes())[process_index()]


def gather_rows(rows: Tensor) -> Tensor:
    """rows (n, ...) of this process, n equal in all -> (W n, ...) of the W processes, in their order.

    Differentiable: a process gets back the sum of all processes' gradients for its rows. Where the engine averages
    the parameters' gradients over processes, as DDP and ZeRO do, the result is the gradient of the mean of their
    losses.
    """
    return _GatherRows.apply(rows) if num_processes() > 1 else rows


def gather_distinct(ids: Tensor) -> Tensor:
    """ids (n,) int, n may differ -> the distinct ones of all processes, ascending, the same in all of them."""
    if num_processes() == 1:
        return ids.unique()
    counts = [torch.zeros(1, dtype=torch.long, device=ids.device) for _ in range(num_processes())]
    torch.distributed.all_gather(counts, torch.tensor([len(ids)], device=ids.device))
    longest = int(max(counts))
    padded = torch.nn.functional.pad(ids, (0, longest - len(ids)), value=-1)
    gathered = [torch.empty_like(padded) for _ in counts]
    torch.distributed.all_gather(gathered, padded)
    distinct = torch.cat(gathered).unique()
    return distinct[distinct >= 0]


def own_share(ids: Tensor) -> Tensor:
    """ids (V,), the same in all processes -> this process's ceil(V / W) of them; the last ones repeat the last id.

    The gathered shares begin with the V ids in their order.
    """
    size = -(-len(ids) // num_processes())
    positions = torch.arange(size, device=ids.device) + process_index() * size
    return ids[positions.clamp(max=len(ids) - 1)]


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum, without a gradient."""
    value = value.detach().clone()
    if num_processes() > 1:
        torch.distributed.all_reduce(value)
    return value


def largest_over_processes(number: int, device: torch.device) -> int:
    value = torch.tensor(number, device=device)
    if num_processes() > 1:
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
    return int(value)
