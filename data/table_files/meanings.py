"""What the values of a column mean, and the forms each meaning is written in.

Every reader takes a text without spaces around it and gives None where the text has no such meaning. Missing values,
which are empty fields and the words that pandas, R, SQL and spreadsheets write for them, are taken out before
(`is_nothing`).
"""

import functools
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from mera.system.errors import UserError

OLDEST_AGE = 90
"""Data sets hide ages over 89 (by impossible birth dates, `>89`, or one value for all); they become this one."""
LARGEST_AGE = 120
DAYS_OF_YEAR = 365.25

MOST_COUNTED = {"f": -1, "m": 60, "w": 60}
"""Months and weeks up to which ages are given in them."""

_NOTHING = "nan none null nil na n/a #n/a <na> nat \\n (null) <null> . ? - --"
NOTHING = frozenset(["", *_NOTHING.split()])
"""Texts, in lower case, that stand for a missing value in any column."""
LONGEST_NOTHING = max(map(len, NOTHING))


class Meaning(StrEnum):
    """What a column holds; the value is how messages call it."""

    ID = "an id"
    NUMBER_ID = "a number that is an id"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TIME = "a date or time"
    TIME_OR_DAYS = "a date, a time or a number of days"
    BIRTH = "a date or year of birth"
    CODE = "a code"
    SEX = "a sex"
    AGE = "an age"
    FLAG = "a yes or no"
    WORD = "a word"
    TEXT = "a text"


_SEX_WORDS = {
    "F": "f female woman girl w weiblich weibl frau mujer femenino femenina hembra fem femme féminin feminin féminine "
    "feminine donna femmina femminile feminino feminina mulher vrouw vrouwelijk kvinna kvinde kvinne kvinnlig nainen "
    "kobieta k žena zena nő 女 女性 여 여성 여자 8532 248152002",
    "M": "m h male man boy männlich maennlich männl maennl mann hombre masculino varón varon masc homme masculin "
    "uomo maschio maschile homem mannelijk mand manlig mies mężczyzna muž férfi 男 男性 남 남성 남자 8507 248153007",
    "": "u unk unknown unbekannt desconocido inconnu sconosciuto desconhecido onbekend okänd other o x d divers "
    "diverse diverso otro autre altro andere unspecified undetermined indeterminate indeterminado ambiguous intersex "
    "unknown/invalid not_specified non-binary nonbinary nb 8521 8551 8570",
}
"""Sex -> its words in common languages and its codes in OMOP and SNOMED, in lower case, spaces as `_`; empty for a sex
that is recorded as unknown or as another."""
_SEX_OF_WORD = {word: sex for sex, words in _SEX_WORDS.items() for word in words.split()}
AMBIGUOUS_WITH_M = frozenset("hv")
"""Where one of these letters stands in a column, its M may be a woman (mujer) or a man."""
SEX_IN_SPANISH = r"sexo|género|genero"
"""Names of columns of sexes whose M, alone, may be a woman (mujer) too."""
ISO_5218 = {"1": "M", "2": "F", "9": ""}
"""Sex by number; read so only where a column holds a 2, since 0 and 1 stand for either."""
_TRUE = frozenset(["1", "t", "true", "y", "yes", "j", "ja", "x", "si", "sí", "s", "oui", "o"])
_FALSE = frozenset(["0", "f", "false", "n", "no", "nein", "non"])

_WHOLE = re.compile(r"([+-]?)0*(\d+)(?:\.(?:0{0,2}|0{4,})|,0{1,2})?")
"""Not three zeros: 1.000 and 1,000 may be a thousand."""
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_EXPONENT = re.compile(r"([+-]?)(\d+)(?:[.,](\d+))?[eE]\+?(\d+)")
_AGE_RANGE = re.compile(r"\[?\(?\s*(\d{1,3})\s*(?:-|–|to|bis|a)\s*(\d{1,3})\s*([\])]?)")
_AGE_UNITS = {"": 1, "y": 1, "d": 365, "w": 52, "m": 12}
_AGE = re.compile(
    r"(\d{1,3})(?:[.,]\d*)?\s*(y|m|w|d)?(?:r|rs|ear|ears|o|/o|\.o\.|onths?|onat|onate|eeks?|ays?)?\.?(?:\s*old)?"
)
_AGE_AND_SEX = re.compile(r"(\d{1,3})\s*/?\s*([fmw])")
_AT_LEAST = re.compile(
    r"(\d{1,3})\s*(?:y|years?|jahre?|años|ans)?\s*"
    r"(?:\+|(?:and|or|&|und|oder|y|o|et|ou)\s+(?:over|older|above|more|up|älter|mehr|más|mas|mayor|plus))"
)
_IN_OTHER_LANGUAGES = {
    1: r"jahre?|j\.?|a\.?|años?|anos?|ans?|anni|jaar|år|lat|yaş",
    12: r"monate?|mon\.?|mois|mes(?:es)?|mesi|mese|maand(?:en)?|m[åa]n(?:ed(?:er)?|ad(?:er)?)?\.?|mdr\.?|miesięcy",
    52: r"wochen?|semaines?|semanas?|settiman[ae]|weken|veckor|uger",
    365: r"tage?|jours?|d[ií]as?|giorn[oi]|dag(?:en|ar|e)?|dni",
}
"""How many there are in a year -> words for years, months, weeks and days."""
_AGE_IN_WORDS = {parts: re.compile(rf"(\d{{1,3}})\s*(?:{words})") for parts, words in _IN_OTHER_LANGUAGES.items()}


def is_nothing(text: str) -> bool:
    return len(text) <= LONGEST_NOTHING and text.lower() in NOTHING


def whole_number(text: str) -> str | None:
    """The digits, without leading zeros, of `12`, `12.0`, `012` and forms like `1,2e+01` that show all digits."""
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        return ("-" if whole[1] == "-" and whole[2] != "0" else "") + whole[2]
    scientific = _EXPONENT.fullmatch(text)
    if scientific is None:
        return None
    fraction, exponent = (scientific[3] or ""), int(scientific[4])
    # `1.23e+07` is what a spreadsheet shows of 12,345,678: the other digits are gone.
    if exponent > 300 or (fraction and exponent > len(fraction)) or fraction[exponent:].strip("0"):
        return None
    digits = (scientific[2] + fraction[:exponent].ljust(exponent, "0")).lstrip("0") or "0"
    return ("-" if scientific[1] == "-" and digits != "0" else "") + digits


def number(text: str) -> float | None:
    """A decimal number, with a point or a comma."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def numbers(texts: Iterable[str]) -> dict[str, float | None]:
    """`number` of the different values of a column. 1,000 may be a thousand where no comma of the column has other than
    three digits behind it, and 1.000 where it has decimal commas: those are None."""
    read = {text: number(text) for text in texts}
    commas = [text for text in read if "," in text]
    are_decimal = any(not _THOUSANDS.fullmatch(text) for text in commas)
    mark = "." if are_decimal else ","
    return {
        text: None if commas and mark in text and _THOUSANDS.fullmatch(text) else value for text, value in read.items()
    }


def sex(text: str) -> str | None:
    """`F`, `M`, or an empty text for a sex that is recorded as unknown."""
    return _SEX_OF_WORD.get("_".join(text.lower().rstrip(".").split()))


def flag(text: str) -> bool | None:
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    digits = whole_number(text)
    return None if digits is None else digits != "0"


def ages(texts: Iterable[str]) -> dict[str, int | None]:
    """`age` of the different values of a column. Where ages of women are written as 45F, or some say more weeks or
    months than anyone counts, 45M is a man's and 45W a woman's, and no number of months or weeks."""
    with_sex = {text: _AGE_AND_SEX.fullmatch(text.lower()) for text in texts}
    if not any(found and int(found[1]) > MOST_COUNTED[found[2]] for found in with_sex.values()):
        return {text: age(text) for text in with_sex}
    return {text: age(found[1] if found else text) for text, found in with_sex.items()}


def age(text: str) -> int | None:
    """Completed years; a range is read as its middle, `>89` and `90+` as the first age it can be. Ages outside 0 to
    120 are None.
    """
    years = _years(text.lower().strip())
    return years if years is not None and 0 <= years <= LARGEST_AGE else None


def aged(age: int, days: int) -> int:
    """The age some days after a day on which only whole years are known: the likeliest, as a birthday is any day."""
    return min(age + max(0, round(days / DAYS_OF_YEAR)), LARGEST_AGE)


def _years(text: str) -> int | None:
    between = _AGE_RANGE.fullmatch(text)
    if between is not None:
        low, high = int(between[1]), int(between[2])
        return (low + high + (between[3] == "]" or not between[3])) // 2 if low <= high else None
    for marks, shift in ((("≥", ">=", "=>"), 0), ((">",), 1), (("≤", "<=", "=<"), 0), (("<",), -1)):
        for mark in marks:
            if text.startswith(mark):
                bound = _years(text.removeprefix(mark).strip())
                return None if bound is None else max(0, bound + shift)
    at_least = _AT_LEAST.fullmatch(text)
    if at_least is not None:
        return int(at_least[1])
    plain = _AGE.fullmatch(text)
    if plain is not None:
        return int(plain[1]) // _AGE_UNITS[plain[2] or ""]
    in_words = ((words.fullmatch(text), parts) for parts, words in _AGE_IN_WORDS.items())
    return next((int(found[1]) // parts for found, parts in in_words if found is not None), None)


@functools.lru_cache(maxsize=4096)
def is_true(text: str) -> bool:
    """Whether a flag is set: no where the value is missing, yes where it cannot be read."""
    text = text.strip()
    return not is_nothing(text) and flag(text) is not False


def form_of(text: str) -> str:
    """`text` with its letters and digits masked, so that it shows a form and no value: `Aaaaa`, `99/99/9999`."""
    masked = ("A" if c.isupper() else "a" if c.isalpha() else "9" if c.isdigit() else c for c in text[:_LONGEST_FORM])
    return "".join(masked) + ("..." if len(text) > _LONGEST_FORM else "")


_LONGEST_FORM = 24


def parse_sex_values(text: str) -> Mapping[str, str]:
    """`--sex-values F=Kvinna,F=K,M=Mann,U=Annat` as value in lower case -> sex, empty for one that is neither or not
    known (U). Raises UserError on another form."""
    pairs = [tuple(side.strip() for side in part.split("=", 1)) for part in text.split(",")]
    sexes = {"F": "F", "M": "M", "U": ""}
    if not all(len(pair) == 2 and pair[0].upper() in sexes and pair[1] for pair in pairs):
        raise UserError(f"--sex-values must look like F=woman,M=man,U=other, got {text!r}")
    return {value.lower(): sexes[name.upper()] for name, value in pairs}
