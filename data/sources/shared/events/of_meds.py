"""Procedures and drugs of MEDS, by what the codes of its events begin with.

Procedures: ICD codes under a prefix that names procedures or in the editions PCS and Proc
(`PROCEDURE//ICD//10//0BH17EZ`, `ICD10PCS/0BH17EZ`, `ICD9Proc/96.71`), and `CPT4/...`, `HCPCS/...`. Drugs: `MEDICATION`,
`DRUG`, `PRESCRIPTION` and `RX` with a name behind it (`MEDICATION//START//Furosemide`), by its class (`drug_classes`);
`ATC/C03CA01` by its fourth level (C03CA); `RxNorm/...` and `NDC/...` by the class of their description. Descriptions
are those of metadata/codes.parquet.
MEDS has neither flags nor ranges of labs, so that none is known to be abnormal.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.sources.shared.events.drug_classes import ATC, drug_class
from data.sources.shared.events.event_rows import EventRows, EventTable
from data.sources.shared.events.procedure_names import name_of_procedure, procedure_key
from data.table_files.columns import column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile

KINDS = ("procedures", "drugs")
_ICD = re.compile(r"(?i)^(.*?)ICD[-_]?/*(9|10)[-_]?(PCS|PROC|CM)?(?:/+|:|_)([A-Z0-9.]+)$")
_OTHER_PROCEDURE = re.compile(r"(?i)^(?:PROC[A-Z_]*/+)?(CPT\d?|HCPCS)(?:/+|:)\s*([A-Z0-9]+)$")
_DRUG = re.compile(r"(?i)^(?:MEDICATION|DRUG|PRESCRIPTION|RX)S?/+(.+)$")
_ATC = re.compile(rf"(?i)^(?:[A-Z]+/+)?ATC(?:/+|:)\s*{ATC}$")
_DESCRIBED_DRUG = re.compile(r"(?i)^(?:[A-Z]+/+)?(?:RXNORM|RXCUI|NDC)(?:/+|:)\s*\S+$")
_OF_AN_ORDER = (
    "start stop started stopped administered not given delayed held infusion bolus unk unknown none order ordered end "
    "continued restarted applied removed flushed confirmed partial in other location"
)
"""Words of `MEDICATION//...` that say what became of an order, and no drug."""
_NOT_A_NAME = frozenset(_OF_AN_ORDER.split())


def read_meds_events(
    folder: Path, kinds: Sequence[str], rows: pl.DataFrame, visits: pl.DataFrame, ledger: Ledger
) -> tuple[EventTable, list[InputFile]]:
    """The events of `kinds`, and the file of descriptions where there is one. `rows`: subject_id, time, code, hadm_id
    of all events of the data set."""
    events = EventRows(visits=visits, ledger=ledger, dated=True)
    descriptions = _descriptions(folder, ledger, events.files)
    named = _named(rows["code"].unique().drop_nulls(), descriptions, kinds)
    known = rows.join(named, on="code", how="inner", maintain_order="left")
    ledger.read("events", known.height)
    for kind in ("procedure", "drug"):
        events.add(
            kind,
            known.filter(pl.col("kind") == kind).select(
                "time", "key", "name", patient_id="subject_id", admission_id="hadm_id"
            ),
        )
    return events.table(), events.files


def _descriptions(folder: Path, ledger: Ledger, files: list[InputFile]) -> Mapping[str, str]:
    path = folder / "metadata" / "codes.parquet"
    if not path.is_file():
        return {}
    columns = (
        column("code", Meaning.WORD),
        column("description", Meaning.WORD, optional=True, may_be_empty=True),
    )
    table = read_columns(path, columns, ledger)
    files.append(InputFile(file_name=str(path.relative_to(folder)), sha256=table.file.sha256))
    if "description" not in table.rows.columns:
        return {}
    return dict(table.rows.drop_nulls().sort(pl.all()).iter_rows())


def _named(codes: Iterable[str], descriptions: Mapping[str, str], kinds: Sequence[str]) -> pl.DataFrame:
    """code, kind, key, name of those that are events of `kinds`."""
    rows = []
    for code in codes:
        words = descriptions.get(code, "")
        procedure = _procedure(code, words) if "procedures" in kinds else None
        drug = _drug(code, words) if "drugs" in kinds and procedure is None else None
        if procedure is not None:
            rows.append((code, "procedure", *procedure))
        elif drug is not None:
            rows.append((code, "drug", *drug))
    return pl.DataFrame(rows, schema=dict.fromkeys(("code", "kind", "key", "name"), pl.String), orient="row")


def _procedure(code: str, words: str) -> tuple[str, str] | None:
    """Key and name; None for what is no procedure."""
    icd = _ICD.fullmatch(code)
    if icd is not None and ("PROC" in icd[1].upper() or (icd[3] or "").upper() in ("PCS", "PROC")):
        key = procedure_key(icd[4], int(icd[2]))
        return key, words or (name_of_procedure(key) if key else "")
    other = _OTHER_PROCEDURE.fullmatch(code)
    return None if other is None else (f"{other[1].lower()}:{other[2]}", words or f"{other[1]} {other[2]}")


def _drug(code: str, words: str) -> tuple[str, str] | None:
    """Key and name, empty where nothing names it; None for what is no drug."""
    atc = _ATC.fullmatch(code)
    if atc is not None:
        return f"atc:{atc[1].upper()}", words or f"ATC {atc[1].upper()}"
    if _DESCRIBED_DRUG.fullmatch(code):
        return drug_class(words), drug_class(words)
    drug = _DRUG.fullmatch(code)
    if drug is None:
        return None
    parts = [part for part in drug[1].split("/") if set(part.lower().split()) - _NOT_A_NAME]
    of_class = next(filter(None, map(drug_class, [words, *parts])), "")
    return of_class, of_class
