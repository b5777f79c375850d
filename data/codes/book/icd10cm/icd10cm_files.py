"""The XML files of ICD-10-CM of one year, as the CDC publishes them: in a zip, or unpacked from it."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from mera.system.errors import UserError

PARTS = ("index", "eindex", "neoplasm", "drug", "tabular")
"""Alphabetic index, index of external causes, neoplasm table, table of drugs and chemicals, tabular list."""
_NAME = re.compile(
    r"icd[-_]?10[-_]?cm[-_ ](?P<part>index|eindex|neoplasm|drug|tabular)(?P<rest>.*)\.xml", re.IGNORECASE
)
_LARGEST = 200 * 2**20
"""Bytes of one unpacked file; the largest of 2017 has 9 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class YearFile:
    """One XML file."""

    part: str
    """Of PARTS."""
    name: str
    """Its name without folders."""
    year: str
    """As its name says; empty where it says none."""
    path: Path
    """The file itself or the zip that holds it."""
    member: str | None
    """Its name in the zip."""

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Raises UserError where the zip is damaged."""
        if self.member is None:
            with self.path.open("rb") as file:
                yield file
            return
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                yield cast(BinaryIO, file)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            raise UserError(f"{self.path.name}: {self.name} in it cannot be unpacked; fetch the zip again") from None


def year_files(paths: Sequence[Path]) -> dict[str, YearFile]:
    """Part -> its file, from one zip or from XML files.

    Raises UserError where a file is neither, where there is no alphabetic index, and where parts come twice or are of
    different years.
    """
    files = [file for path in paths for file in _files_in(Path(path))]
    names = ", ".join(Path(path).name for path in paths)
    if not files:
        raise UserError(
            f"{names} has none of the CDC's XML files of ICD-10-CM, such as icd10cm_index_YEAR.xml; take the zip that "
            "the CDC calls `ICD-10-CM ... Full XML`"
        )
    by_part: dict[str, YearFile] = {}
    for file in files:
        if file.part in by_part:
            raise UserError(
                f"{names} has two files of one kind, {by_part[file.part].name} and {file.name}; add one year"
            )
        by_part[file.part] = file
    if "index" not in by_part:
        others = ", ".join(file.name for file in by_part.values())
        raise UserError(f"{names} has no alphabetic index (icd10cm_index_YEAR.xml), only {others}; take the full zip")
    years = {file.year for file in files if file.year}
    if len(years) > 1:
        raise UserError(f"{names} mixes the years {', '.join(sorted(years))}; add one year")
    return {part: by_part[part] for part in PARTS if part in by_part}


def _files_in(path: Path) -> Iterator[YearFile]:
    if path.suffix.lower() == ".xml":
        if file := _year_file(path, None, path.name):
            yield file
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, OSError):
        raise UserError(f"{path.name} is no zip, or a damaged one; fetch it again from the CDC") from None
    for member in members:
        if file := _year_file(path, member.filename, Path(member.filename).name):
            if member.file_size > _LARGEST:
                raise UserError(
                    f"{path.name}: {file.name} would unpack to {member.file_size / 2**20:.0f} MB; fetch it again"
                )
            yield file


def _year_file(path: Path, member: str | None, name: str) -> YearFile | None:
    match = _NAME.fullmatch(name)
    if match is None or "addend" in name.lower():
        return None
    year = re.search(r"(?<!\d)20\d\d(?!\d)", match["rest"])
    return YearFile(part=match["part"].lower(), name=name, year=year[0] if year else "", path=path, member=member)
