"""How papers prepared the notes of MIMIC for ICD coding, so that figures can stand beside theirs.

`edin`: Edin et al. 2023, SIGIR (Automated Medical Coding on MIMIC-III and MIMIC-IV). `mullenbach`: Mullenbach et al.
2018, NAACL (CAML), MIMIC-III full. Both put the discharge summaries and addenda of an admission together in the order
of the file, take those marked as errors too, keep admissions after a recorded death, and remove no near-copies. Edin
drops codes that fewer than EDIN_MIN_CODE_COUNT admissions have. Both have procedures among their targets, which are
not read here.
"""

import re
from itertools import chain

from data.cohorts.notes.plain_text import PlainText

RULES = ("edin", "mullenbach")
EDIN_MIN_CODE_COUNT = 10
_NOT_ALPHANUMERIC, _NUMBERS, _BLANK = re.compile(r"[^A-Za-z0-9]+"), re.compile(r"(\s\d+)+\s"), re.compile(r"\s+")
_WORD = re.compile(r"\w+")
_WORDS = {"edin": re.compile(r"[A-Za-z0-9]+"), "mullenbach": _WORD}


def clean_text(text: str, rules: str | None) -> str:
    """`text` as the paper's models read it; as it stands where `rules` is None.

    `edin`: lower case, anything but letters and digits of ASCII a space, numbers between spaces left out.
    `mullenbach`: the words (`\\w+`) in lower case that are no numbers.
    """
    match rules:
        case "edin":
            spaced = _NUMBERS.sub(" ", _NOT_ALPHANUMERIC.sub(" ", text.lower()))
            return _BLANK.sub(" ", spaced).strip()
        case "mullenbach":
            return " ".join(word.lower() for word in _WORD.findall(text) if not word.isnumeric())
    return text


def clean_note(note: PlainText, rules: str | None) -> PlainText:
    """`clean_text` of a note that knows where in the original it stands. Words are found again one after the other;
    only numbers are ever left out between them."""
    if rules is None:
        return note
    cleaned, places = clean_text(note.text, rules), list[int]()
    words = [(found[0].lower(), *found.span()) for found in _WORDS[rules].finditer(note.text)]
    number = start = end = 0
    for word in cleaned.split():
        while number < len(words) and words[number][0] != word and words[number][0].isnumeric():
            number += 1
        if number < len(words) and words[number][0] == word:
            _, start, end = words[number]
            number += 1
        else:  # a letter that is two in lower case: no place of its own
            start = end
        of_word = range(start, end) if end - start == len(word) else [start] * len(word)
        places += [note.places[place] for place in chain(of_word, [end])]
    return PlainText(cleaned, places or [0], note.stored)
