"""Titles and entries of the CDC's XML."""

import io

from data.codes.book.index.index_xml import Title, read_entries


def entries(body):
    return list(read_entries(io.BytesIO(f"<ICD10CM.index><letter>{body}</letter></ICD10CM.index>".encode()), "a.xml"))


def test_an_entry_has_the_titles_above_it():
    main, second = entries(
        "<mainTerm><title>Diabetes, diabetic<nemod>(mellitus) (sugar)</nemod></title><code>E11.9</code>"
        "<term level='1'><title>with  eye\n trouble</title><code>E11.39</code><manif>H42</manif></term></mainTerm>"
    )
    assert main.path == (Title("Diabetes, diabetic", ("mellitus", "sugar")),)
    assert (main.codes, second.codes, second.manifestations) == (("E11.9",), ("E11.39",), ("H42",))
    assert [title.text for title in second.path] == ["Diabetes, diabetic", "with eye trouble"]


def test_modifiers_can_stand_within_a_title():
    title = "<mainTerm><title>{}</title></mainTerm>"
    [joined] = entries(title.format("autonomic<nemod>(poly)</nemod>neuropathy"))
    assert joined.path == (Title("autonomic", ("poly",), "neuropathy", joined=True),)
    [mixed] = entries(title.format("and<nemod>(on) chronic (congestive)</nemod>"))
    assert mixed.path == (Title("and", ("on", "congestive"), "chronic"),)
    [nested] = entries(title.format("Dementia<nemod>(degenerative (primary)) (old age)</nemod> NEC"))
    assert nested.path == (Title("Dementia", ("degenerative (primary)", "old age"), "NEC"),)
    assert nested.path[0].full_text == "Dementia (degenerative (primary)) (old age) NEC"


def test_references_categories_and_cells_are_read_and_empty_cells_are_not():
    see, category, table = entries(
        "<mainTerm><title>A</title><see>B, c</see><seeAlso>D</seeAlso></mainTerm>"
        "<mainTerm><title>B</title><seecat>F10</seecat></mainTerm>"
        "<mainTerm><title>C</title>"
        "<cell col='2'>T51.3X1</cell><cell col='6'>--</cell><cell col='7'>C79.8-</cell></mainTerm>"
    )
    assert (see.see, see.see_also, see.codes) == (("B, c",), ("D",), ())
    assert category.codes == ("F10",)
    assert table.cells == ((2, "T51.3X1"), (7, "C79.8-"))
