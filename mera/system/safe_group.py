"""How every command of `mera` ends: as the stages do (mera/training/entry_point.py), without loading what they need."""

from typing import Any

import typer
from typer.core import TyperGroup

from mera.system.errors import sentence, wants_traceback
from mera.system.stop_signals import Stopped, say_stopped, stopping_in_order
from mera.system.text_encoding import use_utf8


class SafeGroup(TyperGroup):
    """A group of commands, in each of which an error becomes a sentence, or a stack without its message."""

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
                raise
            typer.echo(sentence(error), err=True)
            raise typer.Exit(1) from None
