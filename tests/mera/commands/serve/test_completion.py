"""What completes a few letters: codes that begin so, then names with words that begin so."""

import pytest

from mera.commands.serve.completion import Completion
from mera.commands.serve.messages import NamedCode

CODES = {
    "I50.9": "Heart failure, unspecified",
    "I50.22": "Chronic systolic (congestive) heart failure",
    "I51.9": "Heart disease, unspecified",
    "E11.9": "Type 2 diabetes mellitus without complications",
    "Z99.2": "Dependence on renal dialysis",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i50", ["I50.9", "I50.22"]),
        ("I502", ["I50.22"]),
        (" i 50.2", ["I50.22"]),
        ("heart", ["I50.9", "I51.9", "I50.22"]),
        ("fail heart", ["I50.9", "I50.22"]),
        ("dia mel", ["E11.9"]),
        ("eart", []),
        ("z", ["Z99.2"]),
        ("e", ["E11.9"]),
        ("(", []),
        ("  ", []),
        ("", []),
    ],
)
def test_what_fits(text, expected):
    completion = Completion([NamedCode(code=code, definition=name) for code, name in CODES.items()])
    assert [entry.code for entry in completion.complete(text, 12)] == expected
    assert [entry.code for entry in completion.complete(text, 1)] == expected[:1]
