"""UTF-8 for the names of files and for what is printed, whatever the locale."""

import os
import sys


def use_utf8() -> None:
    """Where the locale would have Python read names of files and print in anything but UTF-8 (`LC_ALL=C`, Latin-1),
    start the process again in UTF-8 mode: a path keeps its umlauts in every library and file, and no table is too rich
    for the terminal. Elsewhere do nothing.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")  # PYTHONIOENCODING asks for less than Unicode
