"""What marked words make one phrase, and where sentences end."""

import pytest

from bi_encoder.baselines.phrases.known import REACH, together
from bi_encoder.baselines.phrases.words import words_of


def test_marks_of_a_code_in_one_sentence_are_one_phrase():
    text = "Elevación de las transaminasas. Fiebre, y transaminasas."
    first, second, third = (text.index("Elevación"), text.index("transaminasas"), text.rindex("transaminasas"))
    spans = [(7, third, third + 13), (7, second, second + 13), (7, first, first + 9), (2, first, first + 9)]
    assert sorted(together(text, spans)) == [(2, "Elevación"), (7, "Elevación transaminasas"), (7, "transaminasas")]
    assert together("", []) == []


def test_marks_that_lie_far_apart_are_phrases_of_their_own_and_no_word_counts_twice():
    text = "metástasis ósea " + "y algo más " * 4 + "pulmonar bilateral"
    end = len(text)
    near, far, inside = (0, 15), (end - 18, end), (end - 9, end)
    found = together(text, [(3, *near), (3, *far), (3, *inside)])
    assert sorted(found) == [(3, "metástasis ósea"), (3, "pulmonar bilateral")]
    assert len(text.split()) > REACH
    assert together("fiebre !!", [(1, 7, 9)]) == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Fiebre. Tos", [0, 1]),
        ("fiebre.Tos", [0, 1]),
        ("fiebre; tos? asma! gota", [0, 1, 2, 3]),
        ("St. Vitus dance", [0, 0, 0]),
        ("por H. pylori", [0, 0, 0]),
        ("hepatitis C. Diabetes", [0, 0, 1]),
        ("de 3.5 mg", [0, 0, 0, 0]),
        ("tos\nasma", [0, 1]),
        ("- tos\n- asma", [0, 1]),
    ],
)
def test_where_sentences_end(text, sentences):
    assert words_of(text).sentences == sentences


def test_a_line_that_was_wrapped_goes_on_in_the_next():
    wrapped = "She was admitted from home with progressive shortness of breath and chronic\n  kidney disease. Fever"
    assert words_of(wrapped).sentences == [0] * 14 + [1]
    assert words_of(wrapped.replace("\n", "\n\n")).sentences[-4:] == [0, 1, 1, 2]
    assert words_of(wrapped.replace("chronic\n  ", "chronic:\n")).sentences[-4:] == [0, 1, 1, 2]
    assert words_of(wrapped.replace("\n  ", "\n- ")).sentences[-4:] == [0, 1, 1, 2]
