"""CodiEsp (Miranda-Escalada et al. 2020; Zenodo 10.5281/zenodo.3837305): clinical cases in Spanish with ICD-10 codes.

The folders train, dev and test each hold text_files (Spanish), text_files_en (machine translation), and without a
header *D.tsv (document, diagnosis) and *X.tsv (document, label, code, words, places `start end;start end`); places
count the characters of the Spanish text. A document is a patient. The task's test set is the folder test where it has
codes, else dev; the others train, and with test there dev validates. Codes are in lower case, and some are filled up
with an X that ICD-10-CM does not have there.
"""

import argparse
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from data.codes.code_columns import Resolve, by_ontology, resolve_codes
from data.cohorts.cohort import Evidence, Patient, build_cohort
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import UnknownCode, load_ontology
from data.sources.shared.options import add_candidates, add_code_options, add_split_options
from data.sources.shared.source_command import Arguments, SourceCommand
from data.table_files.columns import column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

LANGUAGES = ("en", "es")
_FOLDERS = ("train", "dev", "test")
DOCUMENT, CODE = column("document", Meaning.ID), column("raw", Meaning.CODE)
SPANS = (
    DOCUMENT,
    column("label", Meaning.WORD),
    CODE,
    column("words", Meaning.TEXT),
    column("places", Meaning.WORD),
)
_NO_SPANS = pl.DataFrame(schema={"document": pl.String, "raw": pl.String, "places": pl.String})


def read_codiesp(
    folder: str | Path, ledger: Ledger, language: str = "en", granularity: str = "full"
) -> tuple[list[Patient], list[InputFile], dict[str, str]]:
    """The cohort in ICD-10-CM, one visit with a note for each document, the files, and document -> split.

    `language` of the notes: `en` or `es`; evidence only with `es`. Raises FileNotFoundError or UserError where the
    folder lacks a part.
    """
    if language not in LANGUAGES:
        raise UserError(f"--language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    folder = Path(folder)
    present = [name for name in _FOLDERS if (folder / name / f"{name}D.tsv").is_file()]
    if "train" not in present or len(present) < 2:
        raise FileNotFoundError(f"{folder} must hold train/trainD.tsv and dev/devD.tsv, the unpacked CodiEsp corpus")
    files: list[InputFile] = []
    visits, diagnoses, spans = [], [], []
    for name in present:
        texts = _read_texts(folder / name / ("text_files" if language == "es" else "text_files_en"), files)
        visits.append(pl.DataFrame({"patient_id": list(texts), "text": list(texts.values()), "folder": name}))
        path = folder / name / f"{name}D.tsv"
        table = read_columns(path, (DOCUMENT, CODE), ledger, separator="\t", has_header=False)
        diagnoses.append(table.rows.with_row_index("position"))
        files.append(table.file)
        if language == "es":
            spans.append(_read_spans(folder / name / f"{name}X.tsv", files, ledger))
    documents = _unique_documents(pl.concat(visits), ledger)
    ledger.read("diagnoses", sum(table.height for table in diagnoses))
    codes = pl.concat(diagnoses).select(
        "raw", position=pl.col("position").cast(pl.Int64), patient_id="document", admission_id="document"
    )
    resolve = by_ontology(load_ontology("icd10cm"), granularity)
    resolved = resolve_codes(codes, resolve, "icd10cm", ledger)
    texts = dict(documents.select("patient_id", "text").iter_rows())
    evidence = _evidence(pl.concat(spans), texts, resolve, ledger) if spans else {}
    patients = build_cohort(documents, resolved, ledger, evidence)
    split_of_folder = {"train": "train", "dev": "validation" if "test" in present else "test", "test": "test"}
    folders = documents.select("patient_id", "folder").iter_rows()
    return patients, files, {document: split_of_folder[name] for document, name in folders}


def _unique_documents(documents: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    for unit in ("visits", "notes", "patients"):
        ledger.read(unit, documents.height)
    unique = documents.sort("patient_id", "folder").unique(["patient_id"], keep="first", maintain_order=True)
    for unit in ("visits", "notes", "patients"):
        ledger.drop(unit, "document in two folders", documents.height - unique.height)
    nothing = pl.lit(None, dtype=pl.Int64)
    return unique.with_columns(
        admission_id="patient_id",
        order=pl.lit(0),
        sex=pl.lit(None, dtype=pl.String),
        age=nothing,
        day=nothing,
        num_notes=pl.lit(1),
    )


def _read_texts(folder: Path, files: list[InputFile]) -> dict[str, str]:
    """document -> text, characters as counted by the corpus: line ends stay as they are."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no .txt files; unpack the whole CodiEsp corpus")
    digest, texts = hashlib.sha256(), {}
    for path in paths:
        stored = path.read_bytes()
        digest.update(f"{path.name} {hashlib.sha256(stored).hexdigest()}\n".encode())
        try:
            texts[path.stem] = stored.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not text in UTF-8 (byte {error.start})") from None
    files.append(InputFile(file_name=f"{folder.parent.name}/{folder.name}/", sha256=digest.hexdigest()))
    return texts


def _read_spans(path: Path, files: list[InputFile], ledger: Ledger) -> pl.DataFrame:
    if not path.is_file():
        return _NO_SPANS
    table = read_columns(path, SPANS, ledger, separator="\t", has_header=False, quoted=False)
    files.append(table.file)
    return table.rows.filter(pl.col("label") == "DIAGNOSTICO").select("document", "raw", "places")


def _evidence(
    spans: pl.DataFrame, texts: Mapping[str, str], resolve: Resolve, ledger: Ledger
) -> dict[str, list[Evidence]]:
    """document -> its evidence in order; a piece of a split reference is a span of its own."""
    evidence: dict[str, set[Evidence]] = defaultdict(set)
    for document, raw, places in spans.drop_nulls().iter_rows():
        try:
            (code,) = resolve(raw).codes
        except UnknownCode:
            continue
        for place in places.split(";"):
            numbers = re.fullmatch(r"\s*(\d+) (\d+)\s*", place)
            start, end = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
            if start < end <= len(texts.get(document, "")):
                evidence[document].add((code, start, end))
            else:
                ledger.change("evidence without a place in its text left out")
    return {
        document: sorted(items, key=lambda item: (item[1], item[2], item[0])) for document, items in evidence.items()
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare codiesp`."""
    parser.add_argument("--input", required=True, metavar="FOLDER", help="folder with train, dev and maybe test")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of the notes (default: %(default)s)")
    parser.set_defaults(kind="coding")
    add_code_options(parser)
    add_candidates(parser)
    add_split_options(parser, protocol="given")


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, split_of = read_codiesp(arguments.input, ledger, arguments.language, arguments.granularity)
    return Source(
        name="codiesp",
        system="icd10cm",
        patients=patients,
        ledger=ledger,
        files=files,
        options={"language": arguments.language},
        given_split=split_of,
    )


SOURCE = SourceCommand(
    name="codiesp",
    help="""\
CodiEsp: the unpacked corpus, with the folders train and dev (and test).

  mera prepare codiesp --input codiesp --language en --output prepared/codiesp-en
  mera prepare codiesp --input codiesp --language es --output prepared/codiesp-es
      Spanish notes come with the evidence for each code""",
    add_options=add_options,
    read=read_source,
)
