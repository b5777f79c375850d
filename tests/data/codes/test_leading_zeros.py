"""ICD-9 codes that were stored as numbers."""

import polars as pl
import pytest

from data.codes.leading_zeros import KEEP, RESTORE, with_leading_zeros
from data.ledger import Ledger

TRUE = ["0389", "00845", "0380", "25000", "4019", "4280", "486", "5849"]
AS_NUMBERS = [code.lstrip("0") for code in TRUE]


def restored(codes, choice=None, system="icd9cm"):
    ledger = Ledger()
    rows = with_leading_zeros(pl.DataFrame({"raw": codes}, schema={"raw": pl.String}), system, ledger, choice)
    return rows["raw"].to_list(), ledger.record()


@pytest.mark.parametrize(
    "codes",
    [
        TRUE,
        ["038.9", "250.00", "401.9"],
        ["38.9", "8.45", "250.0", "401.9"],
        ["8", "38", "250", "V45"],
        ["25000", "4019", "V4581", "E8788", None],
        ["25000", "4019", "4280", "41401", "389"] + ["4019"] * 200,
    ],
    ids=["text", "dotted", "dotted-numbers", "categories", "nothing-could", "one-slip"],
)
def test_columns_that_lost_nothing_pass(codes):
    assert restored(codes)[0] == codes


@pytest.mark.parametrize("codes", [AS_NUMBERS, [f"{code}.0" for code in AS_NUMBERS]], ids=["whole", "floats"])
def test_columns_of_numbers_are_refused(codes):
    with pytest.raises(ValueError, match=r"stored as numbers and lost their zeros.*--codes-without-zeros puts"):
        restored(codes)
    assert restored(codes, choice=KEEP)[0] == codes
    assert restored(codes, system="icd10cm")[0] == codes


@pytest.mark.parametrize("suffix", ["", ".0"])
def test_zeros_are_put_back_where_one_code_can_be_meant(suffix):
    codes, record = restored([code + suffix for code in AS_NUMBERS], choice=RESTORE)
    # 845 may have been 084.5 (malaria) or 008.45: it is dropped. 389 and 380 are categories, no billable codes.
    assert codes == ["0389", "0380", "25000", "4019", "4280", "486", "5849"]
    assert record["dropped"] == {"several codes are possible without their leading zeros": 1}
    assert record["changed"] == {"leading zeros of an ICD-9 code put back": 2 if not suffix else 7}


UNDOTTED = [*AS_NUMBERS * 40]


@pytest.mark.parametrize("slip", ["401.1", "0389"])
def test_one_code_of_another_writer_does_not_hide_it(slip):
    with pytest.raises(ValueError, match="stored as numbers and lost their zeros"):
        restored([*UNDOTTED, *UNDOTTED, slip])
    codes, _ = restored([*UNDOTTED, *UNDOTTED, slip], choice=RESTORE)
    assert slip in codes
    assert "389" not in codes


def test_one_undotted_code_among_dotted_ones_hides_nothing():
    codes = ["401.9", "428.1", "389", "414", "38", "4280", *["250.01"] * 5]
    assert restored(codes)[0] == codes


def test_zeros_behind_the_point_are_asked_for():
    """250.00, 428.0 and 414.00 became 250, 428 and 414; 38.9 shows that numbers were made of the codes."""
    codes = ["250", "428", "414", "38.9", "401.9", "250.1", "486", "V45.81"]
    with pytest.raises(
        ValueError, match=r"none has a zero behind its point .*, and 4 of 8 rows .* \(428\.0 became 428,"
    ):
        restored(codes)
    assert restored(codes, choice=KEEP)[0] == codes
    put_back, record = restored(codes, choice=RESTORE)
    assert put_back == ["250.00", "428.0", "414.00", "38.9", "401.9", "250.10", "486", "V45.81"]
    assert record["changed"] == {"zeros behind the point of an ICD-9 code put back": 4}


def test_numbers_with_a_point_are_asked_for():
    """As pandas writes a column of floats: 250.00 is 250.0, 780.60 is 780.6, 496 is 496.0, which no code is."""
    codes = ["250.0", "780.6", "496.0", "486.0", "428.0", "401.9", "414.01", "V45.81"]
    with pytest.raises(ValueError, match=r"none has a zero behind its point .*, and 4 of 8 rows"):
        restored(codes)
    assert restored(codes, choice=KEEP)[0] == codes
    put_back, record = restored(codes, choice=RESTORE)
    assert put_back == ["250.00", "780.60", "496", "486", "428.0", "401.9", "414.01", "V45.81"]
    assert record["changed"] == {"zeros behind the point of an ICD-9 code put back": 4}


ONE_COLUMN_LOST = [*["0389", "04111", "4280", "25000", "4019", "486"] * 20, *["389", "380", "4111", "5849"] * 2]


def test_a_column_that_lost_its_zeros_beside_one_that_kept_them_is_refused():
    """389 and 380 are categories, 0389 and 0380 billable; of 4111 both 411.1 and 041.11 are."""
    with pytest.raises(ValueError, match=r"^some of the ICD-9 codes .* others begin with 0, and 4 of 88 rows hold one"):
        restored(ONE_COLUMN_LOST)
    assert restored(ONE_COLUMN_LOST, choice=KEEP)[0] == ONE_COLUMN_LOST
    codes, record = restored(ONE_COLUMN_LOST, choice=RESTORE)
    assert codes == [*ONE_COLUMN_LOST[:120], *["0389", "0380", "5849"] * 2]
    assert record["dropped"] == {"several codes are possible without their leading zeros": 2}
    assert record["changed"] == {"leading zeros of an ICD-9 code put back": 4}


def test_what_is_asked_for_is_done_for_a_single_code_too():
    codes = [*["0389", "4280", "4019"] * 400, "389"]
    assert restored(codes)[0] == codes, "a slip"
    assert restored(codes, choice=RESTORE)[0] == [*codes[:-1], "0389"]
    dotted = ["250.00", "038.9", "250.0", "401.9"]
    assert restored(dotted)[0] == dotted
    assert restored(dotted, choice=RESTORE)[0] == ["250.00", "038.9", "250.00", "401.9"]


def test_floats_beside_texts_of_the_same_codes_are_refused():
    codes = ["250.00", "780.60", "428.0", "496", "038.9", "250.0", "780.6", "401.9"]
    with pytest.raises(ValueError, match=r"^some of the .* others have their last zero still, and 2 of 8 rows"):
        restored(codes)
    assert restored(codes, choice=RESTORE)[0] == [*codes[:5], "250.00", "780.60", "401.9"]


@pytest.mark.parametrize("more", ["401.0", "038.9"], ids=["ends-in-0", "begins-with-0"])
def test_codes_that_were_text_are_left_as_they_are(more):
    codes = ["250", "428", "414", "38.9", "401.9", more]
    assert restored(codes)[0] == codes


def test_procedures_among_the_codes_are_no_diagnoses():
    """45.23, a colonoscopy, would be 045.23, polio."""
    codes = ["401.9", "250.00", "428.0", "45.23", "45.13", "39.95", "584.9"]
    diagnoses = pl.DataFrame({"raw": codes})
    with pytest.raises(ValueError, match=r"^3 of 7 rows hold codes as 99\.99 among ICD-9 codes that kept their zeros"):
        with_leading_zeros(diagnoses, "icd9cm", Ledger(), None)
    for rows, choice in ((diagnoses, RESTORE), (pl.DataFrame({"raw": ["401.9", "45.23", "39.95"]}), None)):
        assert with_leading_zeros(rows, "icd9cm", Ledger(), choice).height == rows.height
    one_slip = pl.DataFrame({"raw": [*codes[:3], codes[5], codes[6]]})
    assert with_leading_zeros(one_slip, "icd9cm", Ledger(), None).height == 5
