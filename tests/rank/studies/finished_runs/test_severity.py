"""The two indices on diagnoses whose index is known from the published tables."""

import numpy as np
import pytest

from mera.system.errors import UserError
from rank.studies.finished_runs.severity import severity_indices


def test_indices_of_known_sets():
    """Charlson: heart failure 1, diabetes 1 (with complications 2, which replaces it), renal disease 2, metastasis 6.
    Elixhauser (van Walraven): heart failure 7, renal failure 5, metastasis 12, obesity -4, hypertension 0."""
    codes = [
        ["I50.9"],
        ["I50.9", "E11.9"],
        ["I50.9", "E11.9", "E11.21"],
        ["C78.00", "I10"],
        ["N18.6", "I50.22", "I50.9"],
        [],
        ["I10"],
        ["E66.9"],
    ]
    indices = severity_indices(codes, "icd10cm")
    np.testing.assert_array_equal(indices["Charlson"], [1, 2, 3, 6, 3, 0, 0, 0])
    np.testing.assert_array_equal(indices["Elixhauser"], [7, 7, 7, 12, 12, 0, 0, -4])


def test_both_versions_of_the_icd_agree_on_the_same_diseases():
    ten, nine = ["I50.9", "I21.4", "E11.9", "C78.00"], ["428.0", "410.71", "250.00", "197.0"]
    for name, values in severity_indices([[code] for code in ten], "icd10cm").items():
        np.testing.assert_array_equal(values, severity_indices([[code] for code in nine], "icd9cm")[name])
    assert severity_indices([["428"], ["398"]], "icd9cm")["Charlson"].tolist() == [1, 0]  # 398.91 needs five digits


def test_other_ontologies_are_refused():
    with pytest.raises(UserError, match="this task has ccs"):
        severity_indices([["108"]], "ccs")
