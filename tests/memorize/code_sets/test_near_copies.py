"""Near copies: what counts as the same name in other words."""

import random

import pytest

from memorize.code_sets.near_copies import content_words, near_copy_groups


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Chronic kidney disease", "disease, kidney, CHRONIC"),
        ("Diabetes with nephropathy", "nephropathy in diabetes"),
        ("Fracture of the ribs", "rib fracture NOS"),
        ("Gaisb\u00f6ck's disease", "Gaisb\u00f6ck disease"),
        ("St. Anthony\u2019s fire", "fire, St. Anthony"),
    ],
)
def test_order_case_number_and_little_words_do_not_matter(first, second):
    assert content_words(first) == content_words(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Diabetes with coma", "Diabetes without coma"),
        ("Pelvis", "Pelvi"),
        ("Type 1 diabetes", "Type 2 diabetes"),
        ("Obesity, not elsewhere classified", "Obesity elsewhere classified"),
    ],
)
def test_what_tells_names_apart_stays(first, second):
    assert content_words(first) != content_words(second)


def test_a_name_always_has_words():
    assert content_words("NOS") == {"nos"}
    assert content_words("+") == {"+"}


def test_variants_of_one_path_are_one_group():
    names = [
        ("E11.9", "diabetes"),
        ("E11.9", "diabetes mellitus"),
        ("E11.9", "sugar diabetes mellitus"),
        ("E11.9", "glycosuria"),
        ("E10.9", "juvenile diabetes"),
        ("E10.9", "Diabetes, juvenile"),
        ("E08.9", "glycosuria"),
    ]
    groups = near_copy_groups(names)
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] == groups[6]  # the same words, whatever the code
    assert groups[4] == groups[5]
    assert len(set(groups)) == 3  # more words alone join no names of different codes


def test_groups_are_what_following_every_pair_gives():
    rng = random.Random(4)
    words = ["acute", "chronic", "renal", "failure", "heart", "left", "right", "of", "pain", "stones"]
    names = [(rng.choice("ABC"), " ".join(rng.sample(words, rng.randint(1, 4)))) for _ in range(60)]
    groups = near_copy_groups(names)
    near = [[_are_near(first, second) for second in names] for first in names]
    for start in range(len(names)):
        reached, edge = {start}, [start]
        while edge:
            edge = [to for place in edge for to in range(len(names)) if near[place][to] and to not in reached]
            reached |= set(edge)
        assert reached == {place for place in range(len(names)) if groups[place] == groups[start]}
    assert 3 < len(set(groups)) < 60


def _are_near(first, second):
    (code, name), (other, other_name) = first, second
    words, others = content_words(name), content_words(other_name)
    return words == others or (code == other and (words <= others or others <= words))
