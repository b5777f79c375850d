"""The sources of `mera prepare`. A new one is a file in `data/sources` and a line here."""

from data.sources import (
    codiesp,
    desynpuf,
    diabetes130,
    eicu,
    fhir,
    grd_chile,
    meds,
    mimic3,
    mimic4,
    mimic_cxr,
    mimic_ed,
    omop,
    synthetic,
    table,
)
from data.sources.shared.source_command import SourceCommand

SOURCES: tuple[SourceCommand, ...] = (
    diabetes130.SOURCE,
    mimic3.SOURCE,
    mimic4.SOURCE,
    mimic_cxr.SOURCE,
    mimic_ed.SOURCE,
    eicu.SOURCE,
    desynpuf.SOURCE,
    codiesp.SOURCE,
    grd_chile.SOURCE,
    meds.SOURCE,
    omop.SOURCE,
    fhir.SOURCE,
    table.SOURCE,
    synthetic.SOURCE,
)


def source_named(name: str) -> SourceCommand:
    return next(source for source in SOURCES if source.name == name)
