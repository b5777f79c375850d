"""How severe a visit's diagnoses are together: the Charlson and the Elixhauser index, from code lists of pycomorb.

Lists of Quan et al. (Med Care 2005, doi 10.1097/01.mlr.0000182534.19832.83) for ICD-9-CM and ICD-10; weights of
Charlson et al. (1987) and van Walraven et al. (Med Care 2009).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from pycomorb import CharlsonComorbidityIndex, ElixhauserComorbidityIndex

from mera.system.errors import UserError

VERSIONS = {"icd9cm": "icd9", "icd10cm": "icd10", "icd10who": "icd10"}
CHARLSON, ELIXHAUSER = "Charlson Comorbidity Index", "Elixhauser Comorbidity Index"
"""As pycomorb calls its columns; without points for age."""


def severity_indices(codes: Sequence[Sequence[str]], ontology: str) -> dict[str, np.ndarray]:
    """`Charlson` and `Elixhauser` (N,) float of each list of codes, dotted or not.

    `ontology`: as in task.json. A code counts where an entry of the lists is its beginning, so that codes cut to their
    category miss entries that need more digits, and the index is a lower bound. Raises UserError for an ontology that
    the lists do not know.
    """
    if ontology not in VERSIONS:
        raise UserError(
            f"the Charlson and Elixhauser indices are defined on {', '.join(VERSIONS)}; this task has {ontology}"
        )
    rows = [(number, code) for number, of_row in enumerate(codes) for code in of_row]
    table = pl.DataFrame(rows, schema={"id": pl.Int64, "code": pl.String}, orient="row")
    with_ages = table.with_columns(age=pl.lit(None, dtype=pl.Int64))
    version = VERSIONS[ontology]
    charlson = CharlsonComorbidityIndex(with_ages, icd_version=version, implementation="quan")
    elixhauser = ElixhauserComorbidityIndex(table, icd_version=version, implementation="quan")
    return {
        "Charlson": _in_order(charlson, CHARLSON, len(codes)),
        "Elixhauser": _in_order(elixhauser, ELIXHAUSER, len(codes)),
    }


def _in_order(table: pl.DataFrame, column: str, number: int) -> np.ndarray:
    """(N,): 0 for a row without a code."""
    values = np.zeros(number)
    values[table["id"].to_numpy()] = table[column].to_numpy()
    return values
