"""Notes as relations: exclusions go both ways, code first one way, and only between the codes of the set."""

import random

import polars as pl

from data.task_folder.book_parts import RULE_SCHEMA
from memorize.code_sets.code_notes import code_relations

CODES = ["I10", "I50.9", "E11.9", "N18.6", "Z99.2"]


def rules(*rows):
    return pl.DataFrame([(kind, "I10", "text", *ends) for kind, *ends in rows], schema=RULE_SCHEMA, orient="row")


def test_exclusions_go_both_ways_and_first_codes_one():
    excluded, first = code_relations(
        CODES,
        rules(
            ("excludes1", ["I10"], ["I50.9", "N18.6"]),
            ("excludes2", ["I10"], ["Z99.2"]),
            ("code_first", ["N18.6", "Z99.2"], ["I10", "E11.9", "X99"]),
        ),
    )
    assert excluded == [["I50.9", "N18.6"], ["I10"], [], ["I10"], []]
    assert first == [[], [], [], ["I10", "E11.9"], ["I10", "E11.9"]]


def test_a_code_is_never_related_to_itself():
    excluded, first = code_relations(CODES, rules(("excludes1", CODES, CODES), ("code_first", CODES, CODES)))
    for rows in (excluded, first):
        assert rows == [[other for other in CODES if other != code] for code in CODES]


def test_relations_equal_a_loop_over_all_pairs():
    rng = random.Random(1)
    rows = [
        (rng.choice(["excludes1", "code_first"]), rng.sample(CODES, rng.randint(0, 3)), rng.sample(CODES, 2))
        for _ in range(6)
    ]
    excluded, first = code_relations(CODES, rules(*rows))
    for place, code in enumerate(CODES):
        pairs = {
            other
            for kind, subjects, objects in rows
            for other in CODES
            if kind == "excludes1"
            and other != code
            and ((code in subjects and other in objects) or (other in subjects and code in objects))
        }
        before = {
            other
            for kind, subjects, objects in rows
            for other in objects
            if kind == "code_first" and code in subjects and other != code
        }
        assert set(excluded[place]) == pairs
        assert set(first[place]) == before


def test_notes_of_blocks_and_chapters_are_left_out():
    of_block = rules(("excludes1", ["I10"], ["I50.9"])).with_columns(node=pl.lit("I10-I1A"))
    assert code_relations(CODES, of_block) == ([[]] * 5, [[]] * 5)


def test_no_rules_relate_nothing():
    assert code_relations(CODES, rules()) == ([[]] * 5, [[]] * 5)
