"""Notices as `mera predict` prints them."""

import warnings

from rank.patients.notices import InputNotice, UnfamiliarInput, print_notices
from rank.patients.patient_input import refuse


def test_a_command_prints_notices_as_sentences_each_time_and_leaves_other_warnings_alone(capsys):
    shown = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: shown.append(str(message))
        print_notices()
        for _ in range(2):
            warnings.warn("2 codes are read as text", InputNotice, stacklevel=1)
        refuse("the model was trained without notes", allow_unknown=True)
        warnings.warn("of a library", UserWarning, stacklevel=1)
    assert issubclass(UnfamiliarInput, InputNotice)
    assert capsys.readouterr().err.splitlines() == [
        "2 codes are read as text",
        "2 codes are read as text",
        "warning: the model was trained without notes; what the model makes of it is anybody's guess",
    ]
    assert shown == ["of a library"]
