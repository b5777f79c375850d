"""Stage two: a language model learns to rank a patient's codes, with EOV as the threshold; simple baselines."""

from typing import TYPE_CHECKING

from mera.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from rank.predict import RankedCode, Ranker

__all__ = ["RankedCode", "Ranker"]
__getattr__ = lazy_exports(__name__, {"RankedCode": "rank.predict", "Ranker": "rank.predict"})
