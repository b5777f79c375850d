"""W&B: numbers only, offline unless the user has logged in."""

import netrc
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

Tracking = Literal["none", "wandb"]
SECONDS_TO_ANSWER = 5


def set_up_tracking(tracking: Tracking, run_name: str, directory: Path) -> list[str]:
    """Prepare the environment for W&B and return what the HF Trainer wants as `report_to`.

    Nothing but metrics and hyper-parameters is recorded: no code, no git state, no model, no table of examples. The
    run's files go under `directory`. Without a W&B login the run is kept offline (`wandb sync` uploads it later).
    """
    if tracking == "none":
        return []
    os.environ.setdefault("WANDB_PROJECT", "mera")
    os.environ.setdefault("WANDB_NAME", run_name)
    os.environ.setdefault("WANDB_DIR", str(directory))
    os.environ.update(
        WANDB_LOG_MODEL="false",
        WANDB_WATCH="false",
        WANDB_DISABLE_CODE="true",
        WANDB_DISABLE_GIT="true",
        WANDB_CONSOLE="off",
        WANDB_SILENT="true",
        WANDB_X_DISABLE_META="true",
        WANDB_X_SAVE_REQUIREMENTS="false",
    )
    if not _logged_in():
        os.environ.setdefault("WANDB_MODE", "offline")
    elif os.environ.get("WANDB_MODE", "online") == "online" and not _reachable():
        os.environ["WANDB_MODE"] = "offline"
        if os.environ.get("RANK", "0") == "0":
            print("warning: W&B cannot be reached; the run is kept offline (`wandb sync` uploads it)", file=sys.stderr)
    return ["wandb"]


def close_tracking() -> None:
    """End the W&B run, so that its last numbers are written before the run directory moves."""
    if "wandb" in sys.modules and sys.modules["wandb"].run is not None:
        sys.modules["wandb"].finish()


def _reachable() -> bool:
    """Whether W&B's server answers; asked once, since its client would wait for minutes and then end the run."""
    try:
        urllib.request.urlopen(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"), timeout=SECONDS_TO_ANSWER)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
