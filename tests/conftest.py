"""Tests see none of the code books that whoever runs them has made: one would name the codes of every task."""

import os
import tempfile

os.environ["MERA_BOOKS"] = os.path.join(tempfile.gettempdir(), "mera-tests-have-no-books")
