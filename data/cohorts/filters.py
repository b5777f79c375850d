"""What a task leaves out or makes coarser, with every loss counted: patients, rare codes, old visits."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from itertools import compress
from operator import not_

from data.cohorts.cohort import Patient, Visit
from data.ledger import Ledger


def drop_patients(
    patients: Iterable[Patient], keep: Callable[[Patient], bool], reason: str, ledger: Ledger
) -> list[Patient]:
    """The patients that `keep` approves; the others are counted with their visits and diagnoses under `reason`."""
    remaining: list[Patient] = []
    dropped: list[Patient] = []
    for patient in patients:
        (remaining if keep(patient) else dropped).append(patient)
    ledger.drop("patients", reason, len(dropped))
    count_visits(ledger, [visit for patient in dropped for visit in patient.visits], f"patient: {reason}")
    return remaining


def drop_visits(
    patients: Iterable[Patient], keep: Callable[[Patient, Visit], bool], reason: str, ledger: Ledger
) -> list[Patient]:
    """The visits that `keep` approves; the others are counted with their diagnoses, and so are patients without any."""
    remaining = []
    dropped: list[Visit] = []
    for patient in patients:
        approved = [keep(patient, visit) for visit in patient.visits]
        visits = tuple(compress(patient.visits, approved))
        dropped += compress(patient.visits, map(not_, approved))
        if visits:
            remaining.append(patient if len(visits) == len(patient.visits) else patient._replace(visits=visits))
        else:
            ledger.drop("patients", f"no visit left: {reason}")
    count_visits(ledger, dropped, reason)
    return remaining


def count_visits(ledger: Ledger, visits: Sequence[Visit], reason: str) -> None:
    """Count visits as dropped, with their diagnoses, notes and events."""
    ledger.drop("visits", reason, len(visits))
    ledger.drop("diagnoses", reason, sum(len(visit.codes) for visit in visits))
    ledger.drop("notes", reason, sum(visit.num_notes for visit in visits))
    ledger.drop("events", reason, sum(len(visit.events) for visit in visits))


def coarsen(
    patients: Iterable[Patient], group_of: Callable[[str], str | None], what: str, ledger: Ledger
) -> list[Patient]:
    """The patients with every code replaced by its group. Codes without a group (None) and codes whose group stands in
    the visit already are counted, and so are visits and patients left without a code. `what`: one group, for the
    reasons.

    Evidence keeps its characters and takes the new code.
    """

    def coarse(visit: Visit) -> Visit:
        groups = [group_of(code) for code in visit.codes]
        known = [group for group in groups if group is not None]
        codes = tuple(dict.fromkeys(known))
        ledger.drop("diagnoses", f"without a {what}", len(groups) - len(known))
        ledger.drop("diagnoses", f"same {what} twice in its visit", len(known) - len(codes))
        primary = len({group for group in groups[: visit.num_primary] if group is not None})
        spans = ((group_of(code), start, end) for code, start, end in visit.evidence)
        evidence = tuple(dict.fromkeys((group, start, end) for group, start, end in spans if group is not None))
        return visit._replace(codes=codes, num_primary=primary, evidence=evidence)

    coarser = [patient._replace(visits=tuple(map(coarse, patient.visits))) for patient in patients]
    return drop_visits(coarser, lambda _, visit: bool(visit.codes), f"without a {what}", ledger)


def drop_rare_codes(patients: Sequence[Patient], min_count: int, ledger: Ledger) -> list[Patient]:
    """The patients without the codes that fewer than `min_count` visits of the cohort hold; visits and patients left
    without a code are dropped too."""
    counts = Counter(code for patient in patients for visit in patient.visits for code in visit.codes)
    frequent = {code for code, count in counts.items() if count >= min_count}
    if len(frequent) == len(counts):
        return list(patients)
    return keep_codes(patients, frequent, f"code in fewer than {min_count} visits", "only rare codes", ledger)


def keep_codes(
    patients: Iterable[Patient], wanted: Set[str], reason: str, reason_of_visits: str, ledger: Ledger
) -> list[Patient]:
    """The patients with the `wanted` codes alone; the others are counted, and so are visits and patients left without
    a code."""

    def thin(visit: Visit) -> Visit:
        codes = tuple(code for code in visit.codes if code in wanted)
        if len(codes) == len(visit.codes):
            return visit
        ledger.drop("diagnoses", reason, len(visit.codes) - len(codes))
        primary = sum(code in wanted for code in visit.codes[: visit.num_primary])
        evidence = tuple(span for span in visit.evidence if span[0] in wanted)
        return visit._replace(codes=codes, num_primary=primary, evidence=evidence)

    thinned = [patient._replace(visits=tuple(map(thin, patient.visits))) for patient in patients]
    return drop_visits(thinned, lambda _, visit: bool(visit.codes), reason_of_visits, ledger)


def keep_primary_targets(patients: Iterable[Patient], every_visit: bool, ledger: Ledger) -> list[Patient]:
    """The last visit, or each with `every_visit`, cut to the diagnosis listed first.

    Visits that would be cut and whose first diagnosis is no usable code are dropped; without `every_visit` that makes
    the visit before them the last one. The visits before the last stay whole: they are history.
    """
    reason = "its primary diagnosis is no usable code"

    def cut(visit: Visit) -> Visit:
        codes = visit.codes[: visit.num_primary]
        ledger.drop("diagnoses", "not the primary diagnosis", len(visit.codes) - len(codes))
        return visit._replace(codes=codes, evidence=tuple(span for span in visit.evidence if span[0] in codes))

    if every_visit:
        with_primary = drop_visits(patients, lambda _, visit: visit.num_primary > 0, reason, ledger)
        return [patient._replace(visits=tuple(map(cut, patient.visits))) for patient in with_primary]
    remaining = []
    for patient in patients:
        last = max((index for index, visit in enumerate(patient.visits) if visit.num_primary), default=-1)
        count_visits(ledger, patient.visits[last + 1 :], reason)
        if last < 0:
            ledger.drop("patients", f"no visit left: {reason}")
        else:
            remaining.append(patient._replace(visits=(*patient.visits[:last], cut(patient.visits[last]))))
    return remaining


def keep_last_visits(patients: Iterable[Patient], num_visits: int, ledger: Ledger) -> list[Patient]:
    """The last `num_visits` visits of each patient; older ones are counted."""
    shortened = []
    for patient in patients:
        count_visits(ledger, patient.visits[:-num_visits], "older than the longest history")
        shortened.append(patient._replace(visits=patient.visits[-num_visits:]))
    return shortened
