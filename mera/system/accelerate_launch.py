"""`accelerate launch` as `mera` starts it: what went wrong is said by the process that it starts, and by that alone.

python -m mera.system.accelerate_launch --num_processes 1 rank/train.py --task prepared/mine ...
"""

import subprocess
import sys

from accelerate.commands import launch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main() -> None:
    """Ends with the exit code of what was started, 128 + the signal's number where a signal ended it."""
    try:
        launch.main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode if error.returncode >= 0 else 128 - error.returncode)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        sys.exit(code if code > 0 else 128 - code)


if __name__ == "__main__":
    main()
