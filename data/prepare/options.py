"""The command line of `mera prepare`: one sub-command for each source."""

import argparse
from collections.abc import Sequence

from data.prepare.sources import SOURCES
from data.prepare.table_preview import add_preview_options
from data.sources.shared.options import add_book, add_hidden_codes
from data.sources.shared.source_command import Arguments
from mera.system.errors import CommandLine


def parse_arguments(arguments: Sequence[str] | None = None) -> Arguments:
    """The options of one source; `arguments.source` names it. Exits with code 2 on bad usage."""
    parser = CommandLine(
        prog="mera prepare",
        description="Turn hospital tables into a prepared task.",
        epilog="Each source has its own --help, with examples.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    parsers: dict[str, CommandLine] = {}
    for source in SOURCES:
        command = commands.add_parser(
            source.name,
            help=source.help.splitlines()[0].rstrip("."),
            description=source.help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_argument("--output", metavar="FOLDER", help="the prepared task; must not exist yet")
        source.add_options(command)
        add_book(command)
        add_hidden_codes(command)
        if source.name == "table":
            add_preview_options(command)
        parsers[source.name] = command
    options, unknown = parser.parse_known_args(arguments, Arguments())
    if unknown:
        parsers[options.source].error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.output is None and not getattr(options, "preview", False):
        parsers[options.source].error("the following arguments are required: --output")
    return options
