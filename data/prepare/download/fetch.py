"""One file from its address: resumed where it broke off, and checked against its sha256.

What is asked for is the file and nothing else: a GET with the bytes that are still missing. No cookie, no account, no
word about the machine. What has come lies beside the target in a folder `.NAME.partial`, with the server's mark of the
version it came from (ETag or Last-Modified), so that a changed file is never joined to an old beginning.
"""

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try after a broken connection."""
TIMEOUT = 60
"""Seconds without a byte."""
_CHUNK = 1 << 20
_HERE = ("localhost", "127.0.0.1", "::1")
Progress = Callable[[int, int | None], None]
"""(bytes that are there, bytes of the whole file or None) -> nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file that is there."""

    path: Path
    num_bytes: int
    sha256: str
    verified: bool
    """Whether a sha256 was known, which it has."""
    was_there: bool = False
    """Whether nothing was fetched."""


class _Broken(Exception):
    """The connection ended before the file did, or the server asks to come again."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows to encrypted addresses, and on this machine."""

    def redirect_request(  # type: ignore[no-untyped-def]  # the signature of the standard library, which has no types
        self, request, file, code, message, headers, address
    ):
        check_address(address)
        return super().redirect_request(request, file, code, message, headers, address)


def check_address(address: str) -> None:
    """Raise UserError on an address that is neither encrypted nor on this machine."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise UserError(f"{parts.scheme}://{parts.hostname} is not an encrypted address (https); nothing was fetched")


def fetch(
    address: str,
    target: Path,
    sha256: str | None = None,
    progress: Progress = lambda done, total: None,
    waits: Sequence[float] = WAITS,
) -> Fetched:
    """The file at `address` as `target`, and its sha256; where `target` is there and has it, nothing is asked.

    A broken connection is taken up again after each of `waits`, from where it broke where the server allows that.
    Raises UserError where the server refuses, the connection breaks once more, the file has another sha256 (what came
    is removed), or `target` is there with another one.
    """
    check_address(address)
    if target.exists():
        there = _digest(target)
        if sha256 is not None and there != sha256:
            raise UserError(f"{target} is there, but its sha256 is {there}, not {sha256}; remove it to fetch it again")
        return Fetched(
            path=target, num_bytes=target.stat().st_size, sha256=there, verified=sha256 is not None, was_there=True
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(target.with_name(f".{target.name}.partial"))
    part, mark = lock.folder / "content", lock.folder / "version"
    try:
        for wait in (*waits, None):
            try:
                _go_on(address, part, mark, progress)
                break
            except (_Broken, http.client.HTTPException, TimeoutError, ConnectionError, urllib.error.URLError) as error:
                if wait is None:
                    raise UserError(_gave_up(address, part, error)) from None
                time.sleep(wait)
        own = _digest(part)
        if sha256 is not None and own != sha256:
            part.unlink()
            mark.unlink(missing_ok=True)
            raise UserError(
                f"{target.name}: the file that came has the sha256 {own}, not {sha256} as published; it was removed. "
                "Try again; if it stays so, the file at the source has changed"
            )
        num_bytes = part.stat().st_size
        os.replace(part, target)
        mark.unlink(missing_ok=True)
        return Fetched(path=target, num_bytes=num_bytes, sha256=own, verified=sha256 is not None)
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            lock.folder.rmdir()


def _go_on(address: str, part: Path, mark: Path, progress: Progress) -> None:
    """Fetch what is missing of `part`. Raises _Broken where it ends too early, UserError where it is refused."""
    start = part.stat().st_size if part.exists() and mark.exists() else 0
    headers = {"User-Agent": "mera", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": mark.read_text(encoding="utf-8")}
    try:
        opener = _opener()
        response = opener.open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and _length_of_all(error.headers) == start:
            return  # all of it is there
        if error.code == 416:
            part.unlink(missing_ok=True)
            raise _Broken(f"HTTP {error.code}") from None
        if error.code in (429, 500, 502, 503, 504):
            raise _Broken(f"HTTP {error.code}") from None
        raise UserError(f"{_host(address)} answers {error.code} ({error.reason}) for {address}") from None
    with response:
        if response.status != 206 or _start_of(response.headers) != start:
            start = 0
        version = response.headers.get("ETag", "")
        version = response.headers.get("Last-Modified", "") if version.startswith("W/") or not version else version
        mark.unlink(missing_ok=True)
        if version:
            mark.write_text(version, encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None and length.isdigit() else None
        _check_room(part, total, start)
        with part.open("ab") if start else part.open("wb") as file:
            done = start
            progress(done, total)
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
        if total is not None and done < total:
            raise _Broken(f"{total - done:,} bytes are missing")


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SafeRedirects())


def _host(address: str) -> str:
    return urlsplit(address).hostname or address


def _start_of(headers: Message) -> int:
    """Where the bytes that come begin, by Content-Range; 0 where it does not say."""
    said = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(said[1]) if said else 0


def _length_of_all(headers: Message) -> int | None:
    said = re.match(r"bytes \*/(\d+)$", headers.get("Content-Range", ""))
    return int(said[1]) if said else None


def _check_room(part: Path, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise UserError(f"{part.parent.parent}: {total - start:,} bytes are to come, and {free:,} are free; make room")


def _gave_up(address: str, part: Path, error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    what = reason if isinstance(reason, _Broken) else type(reason).__name__
    there = part.stat().st_size if part.exists() else 0
    return (
        f"{_host(address)}: the connection broke each time ({what}); {there:,} bytes have come. Run the command again: "
        "it goes on where it stopped, if the server lets it"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
