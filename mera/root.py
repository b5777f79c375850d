"""Where the toolkit is: the folder with `memorize/train.py`, `configs` and `launch`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
