"""The fuzzer for sources of several hospitals' forms: a task comes out whole, or one sentence and nothing on disk."""

import grd_files as grd
from damaged_files import RULES, damaged, whole_or_refused
from hypothesis import given
from hypothesis import strategies as st

GRD = "\n".join("|".join(cells) for cells in (grd.header(2021), *grd.patients(2021, 12)))


@given(damaged(GRD), st.sampled_from(["txt", "csv"]))
@RULES
def test_grd_chile(content, suffix):
    whole_or_refused({f"g.{suffix}": content}, "grd-chile", "--input", f"@g.{suffix}")


def test_the_undamaged_files_are_fine():
    assert whole_or_refused({"g.txt": GRD.encode()}, "grd-chile", "--input", "@g.txt") is None
