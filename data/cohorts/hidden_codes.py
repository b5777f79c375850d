"""Codes that nothing before the test knows of, though they are candidates: what a model says of a disease that it was
never shown (`mera prepare --hide-codes`)."""

import hashlib
from collections.abc import Iterable, Sequence, Set

from data.cohorts.cohort import Patient, Visit
from data.cohorts.filters import drop_patients, drop_visits
from data.ledger import Ledger
from mera.system.errors import UserError

REASON = "hidden code"


def choose_hidden(codes: Iterable[str], share: float, seed: int) -> list[str]:
    """The `share` of `codes` to hide, sorted: those with the smallest hash of `seed` and code.

    A larger share hides the same codes and more, and whether a code is hidden depends on the others only through their
    number, so that the folds of one cohort hide nearly the same. Raises UserError where the share is too small for one
    code, or would leave none.
    """
    distinct = set(codes)
    number = round(share * len(distinct))
    if not 0 < number < len(distinct):
        raise UserError(
            f"--hide-codes {share:g} of {len(distinct):,} codes that are training targets makes {number:,} hidden and "
            f"{len(distinct) - number:,} others; each must be 1 or more"
        )
    return sorted(sorted(distinct, key=lambda code: (hash_of(seed, code), code))[:number])


def without_hidden(
    patients: Sequence[Patient], hidden: Set[str], min_visits: int, ledger: Ledger
) -> tuple[list[Patient], int]:
    """The patients without the `hidden` codes, and how many diagnoses that takes.

    Visits that are left without a code are dropped, and patients without a visit or with fewer than `min_visits` too,
    all counted. Evidence goes with its code; notes stay as they are.
    """
    taken = 0

    def thin(visit: Visit) -> Visit:
        nonlocal taken
        codes = tuple(code for code in visit.codes if code not in hidden)
        if len(codes) == len(visit.codes):
            return visit
        taken += len(visit.codes) - len(codes)
        ledger.drop("diagnoses", REASON, len(visit.codes) - len(codes))
        primary = sum(code not in hidden for code in visit.codes[: visit.num_primary])
        evidence = tuple(span for span in visit.evidence if span[0] not in hidden)
        return visit._replace(codes=codes, num_primary=primary, evidence=evidence)

    thinned = [patient._replace(visits=tuple(map(thin, patient.visits))) for patient in patients]
    with_codes = drop_visits(thinned, lambda _, visit: bool(visit.codes), "only hidden codes", ledger)
    reason = f"fewer than {min_visits} visits without the hidden codes"
    return drop_patients(with_codes, lambda patient: len(patient.visits) >= min_visits, reason, ledger), taken


def hash_of(seed: int, name: str) -> bytes:
    """By which codes and patients are drawn: a larger draw holds a smaller one."""
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
