"""ICD-9-CM codes that lost their leading zeros: 0389 (septicaemia) stored as the number 389 (hearing loss).

A column of undotted codes none of which begins with a zero, some of which are a billable code only with zeros before
them, was stored as numbers. Reading it as it stands would put patients under other diseases, so it is refused unless
the user says what it is: `restore` puts zeros before a code where only one reading is a billable code (or else a code
at all), and drops what has several; `keep` takes the codes as they stand. Columns of categories alone (8, 38, 250) need
no question: they have three digits.
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


def with_leading_zeros(diagnoses: pl.DataFrame, system: str, ledger: Ledger, choice: str | None) -> pl.DataFrame:
    """`diagnoses` with the codes in `raw` as they were before a number was made of them.

    `choice`: RESTORE, KEEP, or None where the user said nothing. Raises ValueError where `system` is ICD-9-CM, the
    codes lost their zeros and nothing was chosen.
    """
    if system != "icd9cm" or choice == KEEP:
        return diagnoses
    counts = diagnoses["raw"].drop_nulls().value_counts()
    plain_of = _numbers(counts["raw"])
    if not plain_of:
        return diagnoses
    readings = {raw: _readings(plain) for raw, plain in plain_of.items()}
    as_floats = {raw for raw, plain in plain_of.items() if raw != plain}
    lost = {raw for raw, codes in readings.items() if codes and all(code.startswith("0") for code in codes)}
    wrong = as_floats | lost
    num_rows = int(counts.filter(pl.col("raw").is_in(list(plain_of)))["count"].sum())
    num_wrong = int(counts.filter(pl.col("raw").is_in(list(wrong)))["count"].sum())
    if not as_floats and len(wrong) < _FEWEST_CODES and num_wrong < _SMALLEST_SHARE * num_rows:
        return diagnoses
    if choice is None:
        sign = f"{num_wrong:,} of {num_rows:,} rows hold one that is a billable code only with a zero before it"
        if as_floats:
            sign = f"{num_rows:,} rows end in .0"
        raise UserError(
            f"the ICD-9 codes were stored as numbers and lost their zeros: none begins with 0, and {sign}. Export them "
            "as text; or "
            "--codes-without-zeros puts the zeros back where only one code can be meant (--codes-without-zeros keep "
            "takes the codes as they stand)"
        )
    restored = {raw: codes[0] for raw, codes in readings.items() if len(codes) == 1 and codes[0] != raw}
    unclear = diagnoses["raw"].is_in([raw for raw, codes in readings.items() if len(codes) > 1]).fill_null(False)
    ledger.drop("diagnoses", "several codes are possible without their leading zeros", int(unclear.sum()))
    ledger.change("leading zeros of an ICD-9 code put back", int(diagnoses["raw"].is_in(list(restored)).sum()))
    return diagnoses.with_columns(pl.col("raw").replace(restored)).filter(~unclear)


def _numbers(codes: pl.Series) -> dict[str, str]:
    """Code -> its digits, for the codes of a column that may hold numbers; empty where it shows that it does not.

    It does where a code begins with a zero or has decimals, or where none is longer than a category.
    """
    if codes.str.contains(r"^\d{1,3}\.\d*[1-9]").any():
        return {}
    are_floats = codes.str.contains(rf"^\d{{{_CATEGORY_DIGITS + 1},{_LONGEST}}}\.0+$").any()
    plain = codes.str.replace(r"\.0+$", "") if are_floats else codes
    pairs = pl.DataFrame({"raw": codes, "plain": plain}).filter(pl.col("plain").str.contains(r"^\d{1,5}$"))
    digits = pairs["plain"]
    if digits.str.starts_with("0").any() or not (digits.str.len_bytes() > _CATEGORY_DIGITS).any():
        return {}
    return dict(pairs.iter_rows())


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
