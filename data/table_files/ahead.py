"""One piece ahead: the next of what takes long to read is read while the last is used."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The `items` in their order, each made in a thread while its user is busy with the one before; two are in memory
    at once. What making one raises is raised here, when its turn comes."""
    source = iter(items)
    nothing = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, source, nothing)
        while (item := coming.result()) is not nothing:
            coming = thread.submit(next, source, nothing)
            yield item  # type: ignore[misc]  # `nothing` is no Item
