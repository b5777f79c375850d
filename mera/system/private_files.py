"""Files that hold patients' rows are for their owner alone.

`mera.system.private_files` is the same for `data`: the two packages do not import each other.
"""

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
