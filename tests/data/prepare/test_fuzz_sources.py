"""The fuzzer for sources of several hospitals' forms: a task comes out whole, or one sentence and nothing on disk."""

import fhir_export as fhir
import grd_files as grd
import mimic_ed_tables as ed
import omop_tables as omop
from damaged_files import RULES, damaged, whole_or_refused
from hypothesis import given
from hypothesis import strategies as st

GRD = "\n".join("|".join(cells) for cells in (grd.header(2021), *grd.patients(2021, 12)))


@given(damaged(GRD), st.sampled_from(["txt", "csv"]))
@RULES
def test_grd_chile(content, suffix):
    whole_or_refused({f"g.{suffix}": content}, "grd-chile", "--input", f"@g.{suffix}")


VISITS = "\n".join(
    ["pid,vid,day,dx", *(f"p{number // 2},{number},2020-01-{number + 1:02d},I10" for number in range(24))]
)
SPLITS = "\n".join(["pid,split", *(f"p{number},{('train', 'val', 'test')[number % 3]}" for number in range(12))])
TABLE = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")


@given(damaged(SPLITS))
@RULES
def test_split_file(content):
    files = {"v.csv": VISITS.encode(), "s.csv": content}
    whole_or_refused(files, "table", "--input", "@v.csv", *TABLE, "--split-file", "@s.csv")


OMOP = {
    f"{name}.csv": "\n".join(",".join(cell.replace(",", "") for cell in cells) for cells in rows)
    for name, rows in (omop.tables() | {"concept_relationship": omop.RELATIONSHIPS}).items()
}
CDM = ("omop", "--input", "@", "--kind", "coding", "--code-system", "icd10")


@given(st.sampled_from(sorted(OMOP)), st.data())
@RULES
def test_omop(which, data):
    files = {name: text.encode() for name, text in OMOP.items()} | {which: data.draw(damaged(OMOP[which]))}
    whole_or_refused(files, *CDM)


FHIR = fhir.lines(fhir.export())
EXPORT = ("fhir", "--input", "@", "--kind", "coding")


@given(damaged(FHIR))
@RULES
def test_fhir(content):
    whole_or_refused({"a.ndjson": content}, *EXPORT)


ED = {f"{name}.csv": "\n".join(",".join(map(str, cells)) for cells in rows) for name, rows in ed.tables().items()}
ED_TASK = ("mimic-ed", "--input", "@", "--hosp", "@", "--kind", "coding")


@given(st.sampled_from(sorted(ED)), st.data())
@RULES
def test_mimic_ed(which, data):
    files = {name: text.encode() for name, text in ED.items()} | {which: data.draw(damaged(ED[which]))}
    whole_or_refused(files, *ED_TASK)


def test_the_undamaged_files_are_fine():
    assert whole_or_refused({"g.txt": GRD.encode()}, "grd-chile", "--input", "@g.txt") is None
    files = {"v.csv": VISITS.encode(), "s.csv": SPLITS.encode()}
    assert whole_or_refused(files, "table", "--input", "@v.csv", *TABLE, "--split-file", "@s.csv") is None
    assert whole_or_refused({name: text.encode() for name, text in OMOP.items()}, *CDM) is None
    assert whole_or_refused({"a.ndjson": FHIR.encode()}, *EXPORT) is None
    assert whole_or_refused({name: text.encode() for name, text in ED.items()}, *ED_TASK) is None
