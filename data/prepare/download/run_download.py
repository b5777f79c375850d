"""Fetch an open data set from where it is published, or say whom to ask for one that is not.

mera download                       the list
mera download diabetes130           into downloads/diabetes130

Shown are the address, the licence and the size. A file is resumed where the connection broke, and checked against the
sha256 that was published; where none was, that is said, and the one of what came is shown. Nothing is sent but the
request for the file.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from data.prepare.download.catalogue import DATA_SETS, DataSet
from data.prepare.download.fetch import Fetched, fetch
from mera.system.command import run_command
from mera.system.errors import CommandLine, UserError
from mera.system.terminal import plain_console

NOTHING_TO_FETCH = 3
"""Exit code where a data set has to be asked for."""


def main(arguments: Sequence[str] | None = None, data_sets: Sequence[DataSet] = DATA_SETS) -> None:
    """The command; `data_sets`: those that it knows."""
    parser = CommandLine(
        prog="mera download",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="data set; without one they are listed")
    parser.add_argument("--output", metavar="FOLDER", help="where it goes (default: downloads/NAME)")
    options = parser.parse_args(arguments)
    if options.name is None:
        _print_list(data_sets)
        return
    by_name = {each.name: each for each in data_sets}
    if options.name not in by_name:
        parser.error(f"no data set {options.name!r}; there are {', '.join(by_name)}")
    download(by_name[options.name], Path(options.output or f"downloads/{options.name}"))


def download(data_set: DataSet, folder: Path) -> None:
    """Fetch all files of `data_set` into `folder`, and print what they are. Ends with exit code NOTHING_TO_FETCH where
    it has none."""
    console = plain_console(soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, highlight=False)

    say(f"{data_set.name}: {data_set.title}\nlicence: {data_set.licence}\npage: {data_set.page}")
    if not data_set.files:
        say(data_set.how)
        raise SystemExit(NOTHING_TO_FETCH)
    sums = {} if data_set.sums is None else _published_sums(data_set.sums, folder)
    for file in data_set.files:
        expected = file.sha256 or sums.get(file.path)
        say(f"from: {file.address}")
        fetched = _with_bar(file.address, folder / file.path, expected)
        there = "was there" if fetched.was_there else "came"
        say(f"{fetched.path}: {fetched.num_bytes:,} bytes {there}; {_said_of_sha256(fetched, file.sha256 is not None)}")
        if file.unpack:
            say(f"unpacked: {', '.join(unpack(fetched.path, folder))}")
    if data_set.use:
        say(f"next: {data_set.use.format(folder=folder)}")


def _said_of_sha256(fetched: Fetched, is_ours: bool) -> str:
    if not fetched.verified:
        return f"no sha256 was published to check it against; its own is {fetched.sha256}"
    return f"sha256 {fetched.sha256} as " + ("published" if is_ours else "the server's list says")


def _with_bar(address: str, target: Path, sha256: str | None) -> Fetched:
    console = plain_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(target.name, total=None)
        return fetch(address, target, sha256, lambda done, total: bars.update(bar, completed=done, total=total))


def _published_sums(address: str, folder: Path) -> Mapping[str, str]:
    """Path -> sha256, by the list that the server has beside its files, fetched anew."""
    target = folder / "SHA256SUMS.txt"
    target.unlink(missing_ok=True)
    text = fetch(address, target).path.read_text(encoding="utf-8", errors="replace")
    pairs = re.findall(r"^([0-9a-fA-F]{64})\s+\*?(?:\./)?(\S.*?)\s*$", text, re.MULTILINE)
    if not pairs:
        raise UserError(f"{address} holds no list of sha256 sums; what it sent lies in {target}")
    return {path: digest.lower() for digest, path in pairs}


def unpack(path: Path, folder: Path) -> list[str]:
    """Put the files of a zip into `folder`, each complete or absent, and return the names at its top. Raises UserError
    where it is damaged, or a name in it leads out of the folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                target = (folder / member.filename).resolve()
                if not target.is_relative_to(folder.resolve()):
                    raise UserError(f"{path} holds a file that would lie outside of {folder}; it was not unpacked")
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                beside = target.with_name(f".{target.name}.partial")
                with archive.open(member) as source, beside.open("wb") as file:
                    shutil.copyfileobj(source, file)
                beside.replace(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise UserError(f"{path} is damaged, or packed in a way that is not read; remove it and try again") from None
    return sorted({member.filename.split("/")[0] for member in members})


def _print_list(data_sets: Sequence[DataSet]) -> None:
    table = Table("name", "what", "licence", "access")
    for each in data_sets:
        table.add_row(each.name, each.title, each.licence.split(";")[0], "open" if each.files else "see its page")
    plain_console().print(table)


if __name__ == "__main__":
    run_command(main)
