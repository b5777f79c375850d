"""From the titles of an index to words."""

import pytest

from data.codes.book.index.index_xml import Title
from data.codes.book.index.readable_terms import MAX_TERMS, readable_terms


def path(*titles):
    """`Name (modifier)` for each title."""
    parts = [title.split(" (") for title in titles]
    return tuple(Title(name, tuple(modifier.rstrip(")") for modifier in modifiers)) for name, *modifiers in parts)


@pytest.mark.parametrize(
    ("titles", "terms"),
    [
        (["Disease, diseased", "kidney", "chronic"], ["chronic kidney disease"]),
        (["Nephritis NEC", "chronic NOS"], ["chronic nephritis"]),
        (["Glomerulosclerosis, intercapillary"], ["intercapillary glomerulosclerosis"]),
        (["Melanoma", "in situ", "hand"], ["hand melanoma in situ", "hand in situ melanoma"]),
        (["Adenoma", "unspecified site"], ["adenoma"]),
        (["Pain (s)", "limb", "lower", "foot"], ["foot pain"]),
        (["Bence Jones albuminuria"], ["Bence Jones albuminuria"]),
        (["Still's disease or syndrome"], ["Still's disease", "Still's syndrome"]),
        (["Cyst (true)", "nontrue"], ["nontrue cyst"]),
        (["Syphilis, syphilitic", "liver"], ["liver syphilis", "syphilitic liver"]),
        (["Failure", "respiration, respiratory"], ["respiratory failure", "respiration failure"]),
        (["Deficiency", "vitamin", "A"], ["vitamin A deficiency"]),
        (["Amnesia", "with or without", "fugue"], ["amnesia with or without fugue"]),
    ],
)  # fmt: skip
def test_titles_become_what_one_says(titles, terms):
    assert readable_terms(path(*titles)) == terms


def test_modifiers_stand_where_they_would():
    titles = path("Diabetes, diabetic (mellitus) (sugar)", "type 2", "with", "coma (of unknown origin)")
    assert readable_terms(titles) == [
        "diabetes type 2 with coma",
        "type 2 diabetes with coma",
        "type 2 diabetic coma",
        "diabetes type 2 with coma of unknown origin",
        "diabetes mellitus type 2 with coma",
        "sugar diabetes type 2 with coma",
    ]


def test_a_modifier_that_is_a_title_below_means_that_entry():
    titles = path("Failure", "heart (acute) (sudden)", "diastolic")
    assert "sudden diastolic heart failure" in readable_terms(titles, below={"acute"})
    assert "acute diastolic heart failure" not in readable_terms(titles, below={"acute"})


def test_a_modifier_inside_a_word_is_a_part_of_it():
    assert readable_terms((Title("Diabetes"), Title("autonomic", ("poly",), "neuropathy", joined=True)))[-1] == (
        "autonomic polyneuropathy diabetes"
    )


def test_external_causes_go_on_in_their_order():
    titles = path("Accident (to)", "transport (involving injury to)", "car occupant", "collision (with)", "animal")
    assert readable_terms(titles, inverted=False)[0] == "accident transport car occupant collision with animal"


def test_the_number_of_terms_is_bounded():
    many = " (" + ") (".join(f"kind{number}" for number in range(40)) + ")"
    assert len(readable_terms(path("Cyst" + many, "skin" + many))) <= MAX_TERMS
