"""Files that hold patients' rows are for their owner alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def private_files() -> Iterator[None]:
    """Files made in this block have mode 0600 and folders 0700, whatever the umask and whoever makes them."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
