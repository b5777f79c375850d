"""Which events a task keeps: of past visits, and of enough training patients."""

import random
from collections import Counter

import pytest

from data.cohorts.cohort import Patient, Visit
from data.cohorts.events.vocabulary import cohort_digest, keep_past_events
from data.ledger import Ledger


def patient(number, *visits):
    return Patient(
        patient_id=f"p{number}",
        sex=None,
        visits=tuple(
            Visit(admission_id=str(place), codes=("I10",), events=tuple(sorted(events)))
            for place, events in enumerate(visits)
        ),
    )


def test_the_vocabulary_equals_that_of_a_naive_count():
    draw = random.Random(0)
    names = [f"drug:{letter}" for letter in "abcdefgh"]
    parts = {
        split: [
            patient(
                f"{split}{number}",
                *(draw.sample(names, draw.randint(0, 4)) for _ in range(draw.randint(1, 4))),
            )
            for number in range(size)
        ]
        for split, size in (("train", 20), ("validation", 5), ("test", 7))
    }
    for least in (1, 4, 7):
        ledger = Ledger()
        everything = [visit for members in parts.values() for each in members for visit in each.visits]
        ledger.read("events", sum(len(visit.events) for visit in everything))
        kept, frequent = keep_past_events(parts, least, ledger)
        counts = Counter()
        for each in parts["train"]:
            counts.update({event for visit in each.visits[:-1] for event in visit.events})
        assert frequent == {event for event, count in counts.items() if count >= least}
        used = 0
        for split, members in parts.items():
            for before, after in zip(members, kept[split], strict=True):
                assert after.visits[-1].events == ()
                for old, new in zip(before.visits[:-1], after.visits[:-1], strict=True):
                    assert new.events == tuple(event for event in old.events if event in frequent)
                    assert (new.codes, new.admission_id) == (old.codes, old.admission_id)
                    used += len(new.events)
        ledger.check_used("events", used)


def test_events_of_test_patients_or_of_last_visits_make_no_vocabulary():
    train = [patient(number, ["drug:a"], ["drug:last"]) for number in range(3)]
    test = [patient(number, ["drug:of-test"], []) for number in range(3, 9)]
    kept, frequent = keep_past_events({"train": train, "validation": [], "test": test}, 3, Ledger())
    assert frequent == {"drug:a"}
    assert all(visit.events == () for each in kept["test"] for visit in each.visits)


def test_no_event_left_is_said_in_a_sentence():
    parts = {"train": [patient(1, ["drug:a"], [])], "validation": [], "test": []}
    with pytest.raises(ValueError, match=r"nothing that the past visits of 2 training patients have; lower --min-"):
        keep_past_events(parts, 2, Ledger())


def test_a_cohort_is_told_apart_by_its_events_and_without_any_as_before():
    bare, with_events = [patient(1, [], [])], [patient(1, ["drug:a"], [])]
    assert "events" not in repr(bare)
    assert cohort_digest(bare) != cohort_digest(with_events)
