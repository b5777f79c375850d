"""Stage two: a language model learns to rank a patient's codes, with EOV as the threshold; simple baselines."""

from typing import TYPE_CHECKING

from mera.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from rank.patients.patient_ranker import PatientRanker, RankedCode
    from rank.predict import Ranker
    from rank.task_prediction.open_ranker import open_ranker

__all__ = ["PatientRanker", "RankedCode", "Ranker", "open_ranker"]
__getattr__ = lazy_exports(
    __name__,
    {
        "PatientRanker": "rank.patients.patient_ranker",
        "RankedCode": "rank.patients.patient_ranker",
        "Ranker": "rank.predict",
        "open_ranker": "rank.task_prediction.open_ranker",
    },
)
