"""What is said of an error: the user's mistake or the system's word, never a value."""

import errno

import pytest

from mera.system.errors import UserError, sentence


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("column icd is empty"), "error: column icd is empty"),
        (FileNotFoundError("no predictions in runs/a"), "error: no predictions in runs/a"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a.csv/run"), "error: a.csv/run: not a directory"),
        (
            RuntimeError("cannot write: No space left on device (os error 28)"),
            "error: RuntimeError: no space left on device (MERA_TRACEBACK=1 shows where)",
        ),
        (
            Exception('Error: I/O error: Os { code: 28, kind: StorageFull, message: "..." }'),
            "error: Exception: no space left on device (MERA_TRACEBACK=1 shows where)",
        ),
        (
            ValueError("[Errno 13] Permission denied"),
            "error: ValueError: permission denied (MERA_TRACEBACK=1 shows where)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_users_and_the_systems_word_is_one_line(error, said):
    assert sentence(error) == said


def test_a_librarys_word_is_hidden():
    try:
        int("".join(["Smi", "th"]))
    except ValueError as error:
        printed = sentence(error)
    assert "Smith" not in printed
    assert printed.endswith(
        "error: ValueError (its message is hidden: it may quote a patient's data; MERA_TRACEBACK=1 shows it)"
    )
