"""ICD-9-CM codes that lost their leading zeros: 0389 (septicaemia) stored as the number 389 (hearing loss).

Undotted codes of which some are a billable code only with zeros before them were stored as numbers, all of them or,
where others do begin with a zero, those of one column or one export among several. Reading them as they stand would put
patients under other diseases, so they are refused unless the user says what they are: `restore` puts zeros before a
code where only one reading is a billable code (or else a code at all), and drops what has several; `keep` takes the
codes as they stand. Columns of categories alone (8, 38, 250) need no question: they have three digits.

A dotted code shows its category whatever its zeros (38.9 is 038.9). But a program that made numbers of such a column
took the zeros behind the point as well, or put one there: 428.0 (congestive heart failure) is 428, a category, 250.00
is 250.0, and 496 is 496.0, which is no code. Where codes look like such numbers and some are a billable code only with
further zeros, the same question is asked; and where codes stand beside what they would be without their last zero.
"""

import contextlib
import functools

import polars as pl

from data.ledger import Ledger
from data.ontology import UnknownCode, load_ontology
from mera.system.errors import UserError

RESTORE, KEEP = "restore", "keep"
_CATEGORY_DIGITS = 3
_LONGEST = 5
_FEWEST_CODES, _SMALLEST_SHARE = 2, 0.01
"""So many different codes, or such a share of the rows, show that zeros are missing: one may be a slip."""
_SHARE_OF_PROCEDURES = 0.2
"""Of codes with two digits before the point, above which being no diagnosis makes them procedures."""
_SLIPS = 0.002
"""Share of the rows with a numeric code up to which a zero before the code says nothing of the others."""


def with_leading_zeros(diagnoses: pl.DataFrame, system: str, ledger: Ledger, choice: str | None) -> pl.DataFrame:
    """`diagnoses` with the codes in `raw` as they were before a number was made of them.

    `choice`: RESTORE, KEEP, or None where the user said nothing. Raises UserError where `system` is ICD-9-CM, the
    codes lost their zeros and nothing was chosen.
    """
    if system != "icd9cm" or choice == KEEP:
        return diagnoses
    counts = diagnoses["raw"].drop_nulls().value_counts()
    if choice is None:
        _refuse_procedures(counts)
    has_zeros = _share(counts, r"^0\d*$") > _SLIPS
    plain_of = _numbers(counts)
    if not plain_of:
        return _with_zeros_behind(diagnoses, counts, ledger, choice)
    readings = {raw: _readings(plain) for raw, plain in plain_of.items()}
    as_floats = {raw for raw, plain in plain_of.items() if raw != plain}
    lost = {raw for raw, codes in readings.items() if codes and all(code.startswith("0") for code in codes)}
    wrong = as_floats | lost
    num_rows = int(counts.filter(pl.col("raw").is_in(list(plain_of)))["count"].sum())
    num_wrong = int(counts.filter(pl.col("raw").is_in(list(wrong)))["count"].sum())
    few = len(wrong) < _FEWEST_CODES
    rare = num_wrong <= _SLIPS * num_rows if has_zeros else num_wrong < _SMALLEST_SHARE * num_rows
    is_slip = (few or rare) if has_zeros else (few and rare)
    if is_slip and not (as_floats or (choice == RESTORE and wrong)):
        return diagnoses
    if choice is None:
        sign = f"{num_wrong:,} of {num_rows:,} rows hold one that is a billable code only with a zero before it"
        if as_floats:
            sign = f"{num_rows:,} rows end in .0"
        which, others = ("some of the", "others begin with 0") if has_zeros else ("the", "none begins with 0")
        raise UserError(
            f"{which} ICD-9 codes were stored as numbers and lost their zeros: {others}, and {sign}. Export them "
            "as text; or "
            "--codes-without-zeros puts the zeros back where only one code can be meant (--codes-without-zeros keep "
            "takes the codes as they stand)"
        )
    restored = {raw: codes[0] for raw, codes in readings.items() if len(codes) == 1 and codes[0] != raw}
    unclear = diagnoses["raw"].is_in([raw for raw, codes in readings.items() if len(codes) > 1]).fill_null(False)
    ledger.drop("diagnoses", "several codes are possible without their leading zeros", int(unclear.sum()))
    ledger.change("leading zeros of an ICD-9 code put back", int(diagnoses["raw"].is_in(list(restored)).sum()))
    return diagnoses.with_columns(pl.col("raw").replace(restored)).filter(~unclear)


def _refuse_procedures(counts: pl.DataFrame) -> None:
    """Raises UserError where more than a slip have two digits before the point and a part of them is no diagnosis with
    a zero before it either, while others kept their zeros: procedures of ICD-9 are written so."""
    has_zeros = counts["raw"].str.contains(r"^0\d\d|^[1-9]\d\d\.\d?0$").any()
    short = counts.filter(pl.col("raw").str.contains(r"^\d{1,2}\.\d{1,2}$"))
    num_short, num_rows = int(short["count"].sum()), int(counts["count"].sum())
    ontology = load_ontology("icd9cm")
    unknown = [code for code in short["raw"] if not ontology.knows(code)]
    is_more = short.height >= _FEWEST_CODES and num_short > _SLIPS * num_rows
    if has_zeros and is_more and len(unknown) > _SHARE_OF_PROCEDURES * short.height:
        raise UserError(
            f"{num_short:,} of {num_rows:,} rows hold codes as 99.99 among ICD-9 codes that kept their zeros: "
            "procedures are written so, and with a zero before them some would be read as diagnoses. Leave them out (a "
            "table of your own: --keep COLUMN=VALUES), or say --codes-without-zeros where codes have lost zeros"
        )


def _numbers(counts: pl.DataFrame) -> dict[str, str]:
    """Code -> its digits, for the codes of a column that may hold numbers; empty where it shows that it does not.

    It does where decimals are no rarer than undotted codes of four or five digits, or where there are none of these.
    Codes that begin with a zero are none of them.
    """
    dotted = _share(counts, r"^\d{1,3}\.\d*[1-9]")
    if dotted and dotted >= _share(counts, rf"^\d{{{_CATEGORY_DIGITS + 1},{_LONGEST}}}(\.0+)?$"):
        return {}
    codes = counts["raw"]
    are_floats = codes.str.contains(rf"^\d{{{_CATEGORY_DIGITS + 1},{_LONGEST}}}\.0+$").any()
    plain = codes.str.replace(r"\.0+$", "") if are_floats else codes
    pairs = pl.DataFrame({"raw": codes, "plain": plain}).filter(pl.col("plain").str.contains(r"^\d{1,5}$"))
    if not (pairs["plain"].str.len_bytes() > _CATEGORY_DIGITS).any():
        return {}
    return dict(pairs.filter(~pl.col("plain").str.starts_with("0")).iter_rows())


def _share(counts: pl.DataFrame, pattern: str) -> float:
    """Of the rows whose code is a number, those whose code matches."""
    numeric = counts.filter(pl.col("raw").str.contains(r"^\d+(\.\d*)?$"))
    matching = numeric.filter(pl.col("raw").str.contains(pattern))
    return int(matching["count"].sum()) / max(1, int(numeric["count"].sum()))


def _with_zeros_behind(
    diagnoses: pl.DataFrame, counts: pl.DataFrame, ledger: Ledger, choice: str | None
) -> pl.DataFrame:
    """`diagnoses`, where its dotted codes became numbers with the zeros behind the point put back."""
    codes, are_floats = counts["raw"], _are_floats(counts["raw"])
    lost = _lost_behind(codes, are_floats)
    if not are_floats:  # of a column or an export among others
        present = set(codes)
        lost = {raw: code for raw, code in lost.items() if code in present}
    wrong = {raw for raw, code in lost.items() if code != raw}
    rows = int(counts.filter(pl.col("raw").is_in(list(wrong)))["count"].sum())
    is_slip = len(wrong) < _FEWEST_CODES or (rows <= _SLIPS * diagnoses.height and not are_floats)
    if not wrong or (is_slip and choice != RESTORE):
        return diagnoses
    if choice is None:
        which, sign = "the", "none has a zero behind its point that a number has not"
        if not are_floats:
            which, sign = "some of the", "others have their last zero still"
        raise UserError(
            f"{which} ICD-9 codes were stored as numbers and lost their zeros: {sign}, and {rows:,} of "
            f"{diagnoses.height:,} rows hold one that is written otherwise in full (428.0 became 428, 250.00 250.0, "
            "496 496.0). Export them as text; or --codes-without-zeros puts the zeros back (--codes-without-zeros keep "
            "takes the codes as they stand)"
        )
    ledger.change("zeros behind the point of an ICD-9 code put back", rows)
    return diagnoses.with_columns(pl.col("raw").replace(lost))


def _are_floats(codes: pl.Series) -> bool:
    """Whether dotted codes were written by a program that took them for numbers: none keeps a zero that a number has
    not, and some have lost the zero before them, or have one behind the point that is of no code (496.0)."""
    whole, with_zero = codes.str.contains(r"^\d{1,3}$").any(), codes.str.contains(r"^\d{1,3}\.0$")
    if codes.str.contains(r"^0|\.\d+0$").any() or (whole and with_zero.any()):
        return False
    leaves = _leaves()
    no_codes = [raw for raw in codes.filter(with_zero) if _padded(raw).removesuffix(".0") in leaves]
    return bool(codes.str.contains(r"^[1-9]\d?\.\d").any()) or len(no_codes) >= _FEWEST_CODES


def _lost_behind(codes: pl.Series, are_floats: bool) -> dict[str, str]:
    """Code -> the billable code that it was before it lost zeros behind its point; where `are_floats`, also what has
    one too many -> the code."""
    leaves = _leaves()
    lost: dict[str, str] = {}
    for raw in codes.filter(codes.str.contains(r"^\d{1,3}(\.\d)?$")):
        code = _padded(raw).removesuffix(".0") if are_floats else _padded(raw)
        longer = [f"{code}{zeros}" for zeros in (("0",) if "." in code else (".0", ".00"))]
        if code in leaves:
            meant = code if are_floats and raw.endswith(".0") else None
        else:
            meant = next((each for each in longer if each in leaves), None)
        if meant is not None:
            lost[raw] = meant
    return lost


def _padded(raw: str) -> str:
    """With three digits before the point."""
    whole, point, rest = raw.partition(".")
    return f"{whole.zfill(_CATEGORY_DIGITS)}{point}{rest}"


def _readings(plain: str) -> list[str]:
    """Undotted codes that may have become the number `plain`: the billable ones, or else all there are."""
    ontology = load_ontology("icd9cm")
    padded = [plain.zfill(length) for length in range(max(_CATEGORY_DIGITS, len(plain)), _LONGEST + 1)]
    known = {}
    for code in padded:
        with contextlib.suppress(UnknownCode):
            known[code] = ontology.normalize(code)
    leaves = _leaves()
    return [code for code, canonical in known.items() if canonical in leaves] or list(known)


@functools.cache
def _leaves() -> frozenset[str]:
    return frozenset(load_ontology("icd9cm").leaves())
