"""The synthetic cohort: its oracle is exact, its notes are true to their evidence, and its codes are real."""

import hashlib
import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from data.ontology import load_ontology
from data.prepare.options import parse_arguments
from data.prepare.run import prepare
from data.synthetic.cohort import oracle_probabilities, synthetic_cohort
from data.synthetic.conditions import ACUTE, CHRONIC
from data.synthetic.disease_model import DiseaseModel
from data.synthetic.notes import MIN_WORDS, write_note
from data.synthetic.phrases import PHRASES
from data.task import SPLITS


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    options = ["synthetic", "--patients", "600", "--seed", "3", "--every-visit", "--output", str(folder / "s")]
    diagnosis, coding = prepare(parse_arguments(options))
    return diagnosis, coding


def test_every_code_is_real_and_belongs_to_one_condition():
    ontology = load_ontology("icd10cm")
    codes = DiseaseModel().codes
    assert len(codes) == len(set(codes)) == 188
    assert [ontology.normalize(code) for code in codes] == codes
    assert set(PHRASES) == set(codes)


def test_causes_name_conditions_stages_and_events_that_exist():
    stages = {condition.name: len(condition.stages) for condition in CHRONIC}
    events = {event.code for event in ACUTE}
    for effect in (*CHRONIC, *ACUTE):
        for factor, chance in {**effect.causes, **getattr(effect, "progress_causes", {})}.items():
            name, _, least = factor.partition(">=")
            assert name in stages or factor in events, factor
            assert int(least or 1) <= stages.get(name, 1), factor
            assert 0 < chance < 1, factor


@pytest.mark.parametrize(
    ("history", "age", "female"),
    [
        ([["I10"]], 40, True),
        ([["E11.21", "N18.4", "I11.9", "K21.9"], ["N18.5", "N17.9"]], 71, False),
        ([["F10.20", "K76.6", "I85.00"], ["R18.8", "F10.20"]], 55, False),
        ([["J06.9"]], 19, True),  # often nothing to document, so visits are drawn again
    ],
)
def test_next_visit_probabilities_equal_simulated_frequencies(history, age, female):
    model = DiseaseModel()
    draws = 20_000
    stages, past = model.state_after([history])
    ages, women = np.full(draws, age), np.full(draws, female)
    repeated = np.repeat(stages, draws, axis=0), np.repeat(past, draws, axis=0)
    codes, _, _ = model.draw_visit(*repeated, ages, women, np.random.default_rng(0))
    assert codes.any(axis=1).all()
    expected = model.code_probabilities(stages, past, ages[:1], women[:1])[0]
    frequency = codes.mean(axis=0)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert np.all(frequency[expected == 0] == 0)
    # 188 codes: a deviation of 4.5 standard errors has a chance of about 1 in 800 in one of these tests.
    assert np.all(np.abs(frequency - expected)[expected > 0] <= 4.5 * error[expected > 0] + 1e-9)


def test_state_is_read_off_the_codes_exactly():
    model = DiseaseModel()
    generator = np.random.default_rng(1)
    ages, female = generator.integers(20, 90, 300), generator.random(300) < 0.5
    codes, stages, past = model.first_visit(ages, female, generator)
    histories = [[[model.codes[column] for column in np.flatnonzero(row)]] for row in codes]
    for _ in range(4):
        read_stages, read_past = model.state_after(histories)
        assert np.array_equal(read_stages, stages)
        assert np.array_equal(read_past, past)
        codes, stages, past = model.draw_visit(stages, past, ages, female, generator)
        for history, row in zip(histories, codes, strict=True):
            history.append([model.codes[column] for column in np.flatnonzero(row)])


def test_progression_replaces_the_earlier_code():
    cohort = synthetic_cohort(400, seed=0)
    order = [stage[0] for condition in CHRONIC if condition.name == "ckd" for stage in condition.stages]
    moved = 0
    for patient in cohort:
        stages = [order.index(code) for visit in patient.visits for code in visit.codes if code in order]
        assert stages == sorted(stages)
        moved += len(set(stages)) > 1
    assert moved > 10


def test_sexes_have_only_their_own_conditions():
    only = {code: condition.sex for condition in CHRONIC for stage in condition.stages for code in stage}
    only |= {event.code: event.sex for event in ACUTE}
    for patient in synthetic_cohort(500, seed=2):
        for visit in patient.visits:
            assert all(only[code] in (None, patient.sex) for code in visit.codes)


def test_the_cohort_is_reproducible_and_notes_do_not_change_it():
    def digest(cohort):
        return hashlib.sha256(repr(cohort).encode()).hexdigest()

    assert digest(synthetic_cohort(50, 7, with_notes=True)) == digest(synthetic_cohort(50, 7, with_notes=True))
    assert digest(synthetic_cohort(50, 7)) != digest(synthetic_cohort(50, 8))
    for plain, noted in zip(synthetic_cohort(50, 7), synthetic_cohort(50, 7, with_notes=True), strict=True):
        assert [visit.codes for visit in plain.visits] == [visit.codes for visit in noted.visits]
        assert 2 <= len(plain.visits) <= 6
        assert all(earlier.day < later.day for earlier, later in itertools.pairwise(plain.visits))


def recall_at_20(scores, targets):
    best = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    return (np.take_along_axis(targets, best, axis=1).sum(axis=1) / targets.sum(axis=1)).mean()


def test_oracle_file_is_the_oracle_and_beats_history_and_popularity(tasks):
    task, _ = tasks
    oracle = np.load(task.path / task.info["oracle"])
    targets = task.targets("test")
    assert oracle.shape == targets.shape
    assert oracle.dtype == np.float32
    assert np.array_equal(oracle, oracle_probabilities(list(task.splits["test"]), task.codes))
    reversed_columns = oracle_probabilities(list(task.splits["test"]), task.codes[::-1])
    assert np.array_equal(reversed_columns[:, ::-1], oracle)
    popularity = np.broadcast_to(task.targets("train").mean(axis=0), targets.shape)
    own_history = task.seen("test") + 0.5 * popularity
    assert recall_at_20(oracle, targets) > recall_at_20(own_history, targets) + 0.04
    assert recall_at_20(own_history, targets) > recall_at_20(popularity, targets) + 0.1


def test_oracle_is_calibrated_and_knows_the_size_of_visits(tasks):
    task, _ = tasks
    rows, targets = list(task.splits["train"]), task.targets("train")
    chances = oracle_probabilities(rows, task.codes).astype(np.float64)
    spread = np.sqrt((chances * (1 - chances)).sum())
    assert abs(chances.sum() - targets.sum()) < 5 * spread
    for low, high in ((0.02, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 1.0)):
        inside = (chances > low) & (chances <= high)
        error = np.sqrt((chances * (1 - chances))[inside].sum()) / inside.sum()
        assert abs(chances[inside].mean() - targets[inside].mean()) < 4.5 * error
    assert spearmanr(chances.sum(axis=1), targets.sum(axis=1)).statistic > 0.85


def test_both_tasks_share_patients_splits_and_candidates(tasks):
    diagnosis, coding = tasks
    assert diagnosis.path.name == "s-diagnosis"
    assert coding.path.name == "s-coding"
    assert diagnosis.codes == coding.codes == DiseaseModel().codes
    assert diagnosis.definitions == coding.definitions
    for name in SPLITS:
        assert set(diagnosis.splits[name]["patient_id"]) == set(coding.splits[name]["patient_id"])
    assert "oracle" not in coding.info
    assert not (coding.path / "oracle.npy").exists()


def test_notes_hold_their_evidence_and_nothing_that_is_another_codes_phrase(tasks):
    _, coding = tasks
    owner = {phrase.casefold(): code for code, phrases in PHRASES.items() for phrase in phrases}
    assert len(owner) == sum(len(phrases) for phrases in PHRASES.values())
    for row in coding.splits["test"]:
        assert row["history"] == []
        spans = sorted((item["start"], item["end"], item["code"]) for item in row["evidence"])
        assert {code for _, _, code in spans} == set(row["targets"])
        for start, end, code in spans:
            assert owner[row["text"][start:end].casefold()] == code
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
        assert len(row["text"].split()) >= MIN_WORDS


def test_notes_vary_deny_and_stay_short():
    lengths, texts, denials = [], set(), 0
    codes = ["I10", "E11.9", "J18.9", "N18.4"]
    for seed in range(200):
        text, evidence = write_note(codes, 66, "F", np.random.default_rng(seed))
        lengths.append(len(text.split()))
        texts.add(text)
        denied = ("No evidence of", "Denies", "ruled out", "Negative for", "Work-up did not show")
        denials += any(words in text for words in denied)
        assert {code for code, _, _ in evidence} == set(codes)
    assert len(texts) == 200
    assert denials == 200
    assert max(lengths) <= 150


def test_no_code_of_the_visit_is_denied():
    codes = [event.code for event in ACUTE][::2]
    for seed in range(100):
        text, evidence = write_note(codes, 66, "F", np.random.default_rng(seed))
        for _, start, end in sorted(evidence, key=lambda span: -span[1]):
            text = text[:start] + text[end:]
        sentences = [sentence.casefold() for sentence in text.split(". ")]
        assert not [code for code in codes for name in PHRASES[code] if f"denies {name}".casefold() in sentences]
        assert not [code for code in codes for name in PHRASES[code] if f"{name} was ruled out".casefold() in sentences]
