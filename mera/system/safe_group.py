"""How every command of `mera` ends: as the stages do (mera/training/entry_point.py), without loading what they need."""

from typing import Any

import typer
from typer.core import TyperGroup

from mera.system.errors import sentence, wants_traceback
from mera.system.stop_signals import Stopped, say_stopped, stopping_in_order
from mera.system.terminal import use_utf8


class SafeGroup(TyperGroup):
    """A group of commands, in each of which an error becomes a sentence, or a stack without its message."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Called by typer with the words behind `mera`."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            raise _in_a_sentence(error, ctx) from None

    def invoke(self, ctx: Any) -> Any:
        """Called by typer with the command line."""
        use_utf8()
        try:
            with stopping_in_order():
                return super().invoke(ctx)
        except (Stopped, KeyboardInterrupt) as stopped:
            raise typer.Exit(say_stopped(stopped)) from None
        except Exception as error:
            # What typer itself raises is its way of ending: an exit code, a wrong option.
            if wants_traceback() or type(error).__module__.split(".")[0] in ("typer", "click"):
                raise _in_a_sentence(error, ctx) from None
            typer.echo(sentence(error), err=True)
            raise typer.Exit(1) from None


def _in_a_sentence(error: Exception, context: Any) -> Exception:
    """Of a wrong option or command: the sentence alone, without the usage, is printed, and what ends the command with
    exit code 2 returned. Anything else as it is."""
    say = getattr(error, "format_message", None)
    if say is None:
        return error
    inner = getattr(error, "ctx", None) or context
    typer.echo(f"error: {' '.join(say().split())}\n{_typed(inner)} --help lists what there is", err=True)
    return typer.Exit(2)


def _typed(context: Any) -> str:
    """The command as one types it, whatever the program was started by."""
    names = []
    while context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(["mera", *reversed(names)])
