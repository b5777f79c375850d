"""Coding rules against loops written here, on random rules and sets, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mera.evaluation import coding_rules
from mera.evaluation.coding_rules import CodingRules
from mera.system.errors import UserError

CODES = [f"C{number}" for number in range(12)]
NAN = float("nan")


def make_case(seed: int, num_rows: int = 17, num_rules: int = 25):
    """Rules of every kind, scores (N, C) with ties, predicted (N, C), sexes and ages, some unknown."""
    generator = np.random.default_rng(seed)
    table = []
    for number in range(num_rules):
        sides = generator.permutation(CODES)
        first, second = generator.integers(1, 4), generator.integers(0, 4)
        kind = coding_rules.KINDS[number % len(coding_rules.KINDS)]
        table.append((kind, f"node{number}", "", list(sides[:first]), list(sides[first : first + second])))
    scores = np.round(generator.standard_normal((num_rows, len(CODES))), 1)
    predicted = scores > generator.normal(0.0, 0.7, size=(num_rows, 1))
    predicted[0] = False
    sexes = [("F", "M", None)[number] for number in generator.integers(0, 3, num_rows)]
    ages = generator.choice([0.2, 1.0, 8.9, 9.0, 17.9, 18.0, 64.9, 65.0, 15.0, NAN], num_rows)
    return table, scores, predicted, sexes, ages


def loop_is_broken(kind, subjects, objects, codes, sex, age) -> bool:
    has_subject, has_object = bool(codes & set(subjects)), bool(codes & set(objects))
    return (
        has_subject
        and {
            "excludes1": has_object,
            "code_first": not has_object,
            "use_additional": not has_object,
            "seventh_character": True,
            "female_only": sex == "M",
            "male_only": sex == "F",
            "newborn_only": age >= 1,
            "pediatric_only": age >= 18,
            "maternity_age": age < 9 or age >= 65,
            "adult_only": age < 15,
        }[kind]
    )


def code_set(row: np.ndarray) -> set[str]:
    return {code for code, is_there in zip(CODES, row, strict=True) if is_there}


def loop_violations(table, predicted, sexes, ages) -> list[tuple[int, int]]:
    return [
        (row, number)
        for row in range(len(predicted))
        for number, (kind, _, _, subjects, objects) in enumerate(table)
        if loop_is_broken(kind, subjects, objects, code_set(predicted[row]), sexes[row], ages[row])
    ]


def loop_mend(table, scores, predicted, sexes, ages) -> np.ndarray:
    mended = np.zeros_like(predicted)
    for row in range(len(predicted)):
        codes = code_set(predicted[row])
        for kind, _, _, subjects, _ in table:
            limited = kind in (*coding_rules.SEX_LIMITS, *coding_rules.AGE_LIMITS)
            if limited and loop_is_broken(kind, subjects, [], set(subjects), sexes[row], ages[row]):
                codes -= set(subjects)
        before = set(codes)
        for kind, _, _, subjects, objects in table:
            if kind == "seventh_character" and before & set(objects):
                codes -= set(subjects)
        staying: list[str] = []
        for code in sorted(codes, key=lambda code, row=row: (-scores[row, CODES.index(code)], CODES.index(code))):
            against = (
                (code in subjects and other in objects) or (code in objects and other in subjects)
                for kind, _, _, subjects, objects in table
                if kind == "excludes1"
                for other in staying
            )
            if not any(against):
                staying.append(code)
        mended[row] = [code in staying for code in CODES]
    return mended


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_against_loops(seed):
    table, scores, predicted, sexes, ages = make_case(seed)
    rules = CodingRules.of(table, CODES)
    broken = coding_rules.violations(predicted, rules, sexes, ages)
    pairs = list(zip(broken.rows.tolist(), broken.rules.tolist(), strict=True))
    assert pairs == loop_violations(table, predicted, sexes, ages)
    for kind, (rows, count) in broken.counts(rules).items():
        of_kind = [row for row, number in pairs if table[number][0] == kind]
        assert (rows, count) == (len(set(of_kind)), len(of_kind))
    mended = coding_rules.mend(scores, predicted, rules, sexes, ages)
    np.testing.assert_array_equal(mended, loop_mend(table, scores, predicted, sexes, ages))
    assert not (mended & ~predicted).any()
    left = coding_rules.violations(mended, rules, sexes, ages).counts(rules)
    assert all(left[kind] == (0, 0) for kind in left if kind not in (*coding_rules.ASKING, "seventh_character"))
    np.testing.assert_array_equal(coding_rules.mend(scores, mended, rules, sexes, ages), mended)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_columns_in_another_order_change_nothing(seed):
    table, scores, predicted, sexes, ages = make_case(seed)
    scores = scores + np.linspace(0, 0.01, len(CODES))  # no ties
    order = np.random.default_rng(seed).permutation(len(CODES))
    straight = CodingRules.of(table, CODES)
    turned = CodingRules.of(table, [CODES[column] for column in order])
    mended = coding_rules.mend(scores, predicted, straight, sexes, ages)
    np.testing.assert_array_equal(
        coding_rules.mend(scores[:, order], predicted[:, order], turned, sexes, ages), mended[:, order]
    )


DIABETES = [
    ("excludes1", "E11", "type 1 diabetes mellitus (E10.-)", ["E11.9", "E11.22"], ["E10.9"]),
    ("excludes1", "E10", "type 2 diabetes mellitus (E11.-)", ["E10.9"], ["E11.9", "E11.22"]),
    ("use_additional", "E11.22", "code to identify stage", ["E11.22"], ["N18.3"]),
    ("seventh_character", "S72", "A: initial encounter", ["S72"], ["S72.001A"]),
    ("female_only", "O00-O9A", "pregnancy", ["O80"], []),
    ("maternity_age", "O00-O9A", "pregnancy", ["O80"], []),
]
COLUMNS = ["E10.9", "E11.22", "E11.9", "N18.3", "O80", "S72", "S72.001A"]


def predicted_row(*codes: str) -> np.ndarray:
    return np.array([[code in codes for code in COLUMNS]])


def mended_codes(scores: dict[str, float], sex: str | None = None, age: float = NAN) -> set[str]:
    rules = CodingRules.of(DIABETES, COLUMNS)
    values = np.array([[scores.get(code, -9.0) for code in COLUMNS]])
    mended = coding_rules.mend(values, predicted_row(*scores), rules, [sex], np.array([age]))
    return {code for code, is_there in zip(COLUMNS, mended[0], strict=True) if is_there}


def test_the_lower_scored_of_an_excluding_pair_goes():
    assert mended_codes({"E10.9": 2.0, "E11.9": 1.0, "N18.3": 0.5}) == {"E10.9", "N18.3"}
    assert mended_codes({"E10.9": 2.0, "E11.9": 3.0, "E11.22": 1.0}) == {"E11.9", "E11.22"}


def test_a_code_that_is_impossible_pushes_out_no_other():
    assert mended_codes({"O80": 5.0, "E11.9": 1.0}, sex="M") == {"E11.9"}
    assert mended_codes({"O80": 5.0}, sex="F", age=70.0) == set()
    assert mended_codes({"O80": 5.0}, sex="F", age=30.0) == mended_codes({"O80": 5.0}) == {"O80"}


def test_an_incomplete_code_goes_where_a_complete_one_is_predicted():
    assert mended_codes({"S72": 5.0, "S72.001A": 1.0}) == {"S72.001A"}
    assert mended_codes({"S72": 5.0}) == {"S72"}


def test_violations_by_hand():
    rules = CodingRules.of(DIABETES, COLUMNS)
    predicted = np.concatenate(
        [predicted_row("E10.9", "E11.22"), predicted_row("E11.22", "N18.3"), predicted_row("S72"), predicted_row()]
    )
    broken = coding_rules.violations(predicted, rules)
    assert broken.counts(rules) == {
        "excludes1": (1, 2),
        "use_additional": (1, 1),
        "seventh_character": (1, 1),
        "female_only": (0, 0),
        "maternity_age": (0, 0),
    }
    named = [
        [COLUMNS[column] for column in coding_rules.columns_at_fault(predicted[0], rules, rule)] for rule in (0, 2)
    ]
    assert named == [["E10.9", "E11.22"], ["E11.22"]]


def test_codes_that_are_no_columns_are_left_out_and_no_rules_break_nothing():
    rules = CodingRules.of(DIABETES, ["E11.9", "X"])
    assert rules.subjects.nnz == 1
    assert coding_rules.violations(np.ones((2, 2), dtype=bool), rules).rows.size == 0
    empty = CodingRules.of([], COLUMNS)
    np.testing.assert_array_equal(
        coding_rules.mend(np.zeros((1, 7)), predicted_row("S72"), empty, ["M"], np.array([3.0])), predicted_row("S72")
    )
    assert coding_rules.violations(predicted_row("S72"), empty).counts(empty) == {}


def test_a_damaged_table_is_refused():
    with pytest.raises(UserError, match="unknown kind: excludes3"):
        CodingRules.of([("excludes3", "E11", "", ["E11.9"], [])], COLUMNS)
    with pytest.raises(UserError, match="rule at E11 has a code on both"):
        CodingRules.of([("excludes1", "E11", "", ["E11.9"], ["E11.9"])], COLUMNS)
