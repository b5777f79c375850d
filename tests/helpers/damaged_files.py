"""Raw files with damage of every kind, and what must become of them."""

import gzip
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from prepare_case import EVEN, assert_adds_up, run

from data.task import load_task

RULES = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

ODD = (
    b"\x00", b'"', b"'", b",", b";", b"\t", b"\n", b"\r\n", b"\r", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b"1e308",
    b"\\", b"-9223372036854775809",
    b"nan", b"9" * 40, b"x" * 70_000, b'"' * 3, "—é漢".encode(), b",,,,,,", b"0000-00-00",
)  # fmt: skip
PIECES = st.one_of(st.binary(max_size=12), st.sampled_from(ODD))


@st.composite
def damaged(draw, text):
    """The file with a few pieces put in, cut out or repeated, and maybe another delimiter, encoding, or gzip."""
    content = text.encode()
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(content)))
        end = min(len(content), place + draw(st.sampled_from([0, 0, 1, 5, 200])))
        content = content[:place] + draw(PIECES) + content[end:]
    how = draw(st.sampled_from(["", "", "", "semicolons", "utf-16", "gzip", "gzip cut", "random", "twice"]))
    if how == "semicolons":
        content = content.replace(b",", b";")
    elif how == "utf-16":
        content = content.decode("latin-1").encode("utf-16")
    elif how.startswith("gzip"):
        content = gzip.compress(content)
        content = content[: draw(st.integers(0, len(content)))] if how == "gzip cut" else content
    elif how == "random":
        content = draw(st.binary(max_size=300))
    elif how == "twice":
        content += content
    return content


def whole_or_refused(files, *arguments, fractions=EVEN):
    """Prepare from `files` (path -> bytes); either a task that can be read and adds up, or one sentence and no trace of
    a task."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        output = folder / "out" / "task"
        arguments = [
            str(folder / argument[1:]) if str(argument).startswith("@") else argument for argument in arguments
        ]
        try:
            (task,) = run(*arguments, "--output", output, *fractions)
        except (ValueError, OSError) as error:
            message = str(error)
            assert message
            assert "Traceback" not in message
            assert not list(folder.glob("out/*"))
            assert not list(folder.glob("out/.*"))
            return message
        assert_adds_up(load_task(task.path))
        return None
