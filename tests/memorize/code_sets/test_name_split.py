"""Trained and held-out names: nothing that is measured has a near copy in training."""

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from tiny_task import make_tiny_task

from memorize.code_sets.code_set import task_codes
from memorize.code_sets.name_split import split_names
from memorize.code_sets.near_copies import content_words
from memorize.config import MixtureConfig, QuestionConfig
from memorize.questions import QuestionBook

WORDS = (
    *("acute", "chronic", "renal", "cardiac", "failure", "heart", "left", "right", "pain", "stone", "sugar", "lung"),
    *("due", "to", "with", "mellitus", "type", "1", "2"),
)


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    return task_codes(make_tiny_task(tmp_path_factory.mktemp("names") / "task"))


def with_terms(codes, seed=0, most=30):
    rng = random.Random(seed)
    terms = [
        list({" ".join(rng.sample(WORDS, rng.randint(1, 5))): None for _ in range(rng.randint(0, most))})
        for _ in codes.codes
    ]
    return replace(codes, terms=terms)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("terms_per_code", [1, 4, 1000])
def test_no_near_copy_of_a_held_out_name_is_trained(codes, seed, terms_per_code):
    codes = with_terms(codes, seed)
    split = split_names(codes, 0.3, terms_per_code)
    trained = [*split.trained_synonyms, *split.trained_terms, *zip(codes.codes, codes.definitions, strict=True)]
    held_out = [*split.held_out_synonyms, *split.held_out_terms]
    assert len(held_out) > 5
    of_code = defaultdict(list)
    for code, name in trained:
        of_code[code].append(content_words(name))
    everywhere = {content_words(name) for _, name in trained}
    for code, name in held_out:
        words = content_words(name)
        assert words not in everywhere
        assert not any(words <= others or others <= words for others in of_code[code])


def test_every_name_is_somewhere_once_and_the_counts_say_where(codes):
    codes = with_terms(codes, 3)
    split = split_names(codes, 0.2, 5)
    names = [(code, name) for code, row in zip(codes.codes, codes.terms, strict=True) for name in row]
    synonyms = [(code, name) for code, row in zip(codes.codes, codes.synonyms, strict=True) for name in row]
    assert Counter(split.trained_synonyms + split.held_out_synonyms) == Counter(synonyms)
    assert set(split.trained_terms) | set(split.held_out_terms) < set(names)
    assert split.counts() == {
        "trained_synonyms": len(split.trained_synonyms),
        "held_out_synonyms": len(split.held_out_synonyms),
        "trained_terms": len(split.trained_terms),
        "held_out_terms": len(split.held_out_terms),
        "terms_left_out": split.terms_left_out,
        "held_out_near_copies": split.held_out_near_copies,
    }
    terms = split.counts()
    assert len(names) == sum(terms[key] for key in terms if not key.endswith("synonyms"))
    assert min(terms.values()) > 0
    assert max(Counter(code for code, _ in split.trained_terms).values()) == 5
    assert split_names(codes, 0.2, 1000).terms_left_out == 0
    assert split_names(codes, 0, 5).held_out_terms == []


def test_of_a_held_out_group_one_term_is_measured(codes):
    variants = [[f"pain {place} {' '.join(WORDS[:more])}" for more in range(6)] for place, _ in enumerate(codes.codes)]
    split = split_names(replace(codes, terms=variants), 0.5, 20)
    held_out = [code for code, _ in split.held_out_terms]
    assert len(held_out) == len(set(held_out)) > 5
    assert split.held_out_near_copies == 5 * len(held_out)
    assert len({name.count(" ") for _, name in split.held_out_terms}) > 1  # any of them, not the first


def test_few_terms_are_as_different_as_they_can_be(codes):
    """One of each group before a second of any: of forty variants of one name and three others, all four are there."""
    variants = [f"pain {' '.join(WORDS[:place])}" for place in range(10)]
    codes = replace(codes, terms=[[*variants, "stone", "sugar", "lung"], *[[] for _ in codes.codes[1:]]])
    drawn = [name for _, name in split_names(codes, 0, 4).trained_terms]
    assert {"stone", "sugar", "lung"} < set(drawn)
    assert len(drawn) == 4


def test_what_is_measured_does_not_depend_on_what_is_trained(codes):
    codes = with_terms(codes, 5)
    measured = set()
    for weight, most in ((0.0, 20), (1.0, 1), (3.0, 20)):
        mixture = MixtureConfig(term_to_code=weight)
        names = QuestionBook(codes, QuestionConfig(mixture=mixture, terms_per_code=most)).names
        measured.add((tuple(names.held_out_synonyms), tuple(names.held_out_terms)))
    assert len(measured) == 1


def test_without_a_book_the_draw_is_over_single_synonyms(codes):
    synonyms = [(code, name) for code, row in zip(codes.codes, codes.synonyms, strict=True) for name in row]
    split = split_names(codes, 0.25, 20)
    assert split.held_out_synonyms == random.Random(0).sample(synonyms, round(len(synonyms) * 0.25))
    assert set(split.trained_synonyms) == set(synonyms) - set(split.held_out_synonyms)
    assert split.trained_terms == split.held_out_terms == []


def test_a_definition_with_a_word_more_is_not_held_out(codes):
    """What holds all words of the code's own definition, or only words of it, is answered from that."""
    terms = [[f"{definition} of the left side"] for definition in codes.definitions]
    split = split_names(replace(codes, terms=terms), 0.9, 10)
    assert (len(split.trained_terms), split.held_out_terms) == (len(codes.codes), [])


def test_the_near_copy_of_a_definition_is_not_held_out(codes):
    terms = [[f"{definition}, NOS", f"ailment {place}"] for place, definition in enumerate(codes.definitions)]
    split = split_names(replace(codes, terms=terms), 0.9, 20)
    assert split.held_out_terms
    assert all(name.startswith("ailment") for _, name in split.held_out_terms)
