"""The wide part: its formula, its start, its fit, and a checkpoint of it."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from prepare_case import run as prepare
from prepare_case import write_csv
from safetensors.numpy import load_file, save_file
from tiny_task import CODE_LINES, make_tiny_task

from mera.evaluation.metrics import recall_at_k
from rank.config import LossConfig, RankConfig
from rank.start import fitted_wide_part, untrained_codes, wide_loss
from rank.wide import fit
from rank.wide.features import FEATURES, PATIENT_FEATURES, PER_CODE, WideTables, count_training_visits
from rank.wide.fit import PER_CODE_SPREADS, fit_wide_part
from rank.wide.storage import WIDE_FILE, load_wide_part, save_wide_part
from rank.wide.wide_part import (
    WidePart,
    WideScorer,
    WideWeights,
    batch_tensors,
    interpolated,
    start_weights,
    trained_weights,
)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("wide") / "task", seed=3)


@pytest.fixture(scope="module")
def config(task):
    settings = {"base": "none"}
    return RankConfig(
        task=str(task.path),
        output="none",
        model=settings,
        wide="full",
        loss=LossConfig(threshold_form="probability", threshold_weight=0.3),
    )


@pytest.fixture(scope="module")
def start(task, config):
    return fitted_wide_part(config, task)


def random_weights(num_codes, seed=0):
    draw = np.random.default_rng(seed)
    shapes = {
        "shared": (len(FEATURES),),
        "per_code": (num_codes, PER_CODE),
        "bias": (num_codes,),
        "patient": (num_codes, len(PATIENT_FEATURES)),
        "eov": (1 + len(PATIENT_FEATURES),),
        "gate": (1,),
    }
    return WideWeights(**{name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


def test_the_whole_score_equals_a_loop(task, start):
    tables, rows = start.scorer.tables, list(task.splits["test"])
    weights = random_weights(len(task.codes))
    patients = [tables.patient(row, task.column) for row in rows]
    logits = np.random.default_rng(1).normal(size=(len(rows), len(task.codes))).astype(np.float32)
    eov = np.random.default_rng(2).normal(size=len(rows)).astype(np.float32)
    scores, eov_scores = WideScorer(tables=tables, weights=weights).add(logits, eov, patients)
    features = tables.features(patients)
    for row, patient in enumerate(patients):
        for code in range(len(task.codes)):
            expected = weights.gate[0] * logits[row, code] + weights.bias[code]
            for number in range(len(FEATURES)):
                own = weights.per_code[code, number] if number < PER_CODE else 0.0
                expected += (weights.shared[number] + own) * features[row, code, number]
            expected += sum(weights.patient[code] * patient.patient)
            assert scores[row, code] == pytest.approx(expected, rel=1e-3, abs=1e-3)
        expected = weights.gate[0] * eov[row] + weights.eov[0] + sum(weights.eov[1:] * patient.patient)
        assert eov_scores[row] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_code_without_a_training_target_keeps_its_distance_to_eov(task, start):
    counts = start.scorer.tables.counts.copy()
    counts[[2, 5]] = 0
    tables, draw = replace(start.scorer.tables, counts=counts), np.random.default_rng(3)
    before, trained = random_weights(len(task.codes), seed=4), random_weights(len(task.codes), seed=5)
    patients = [tables.patient(row, task.column) for row in task.splits["test"]]
    logits = draw.normal(size=(len(patients), len(task.codes))).astype(np.float32)
    eov = draw.normal(size=len(patients)).astype(np.float32)
    scores, eov_scores = WideScorer(tables=tables, weights=trained, start=before).add(logits, eov, patients)
    open_scores, open_eov = WideScorer(tables=tables, weights=trained).add(logits, eov, patients)
    ungated = replace(before, gate=np.zeros(1, dtype=np.float32))
    at_start, eov_at_start = WideScorer(tables=tables, weights=ungated).add(logits, eov, patients)
    np.testing.assert_array_equal(eov_scores, open_eov)
    for code in range(len(task.codes)):
        margins = scores[:, code] - eov_scores
        other = at_start[:, code] - eov_at_start if code in (2, 5) else open_scores[:, code] - open_eov
        np.testing.assert_allclose(margins, other, rtol=1e-4, atol=1e-3)
    assert np.abs(scores - open_scores)[:, [2, 5]].min() > 0


def test_codes_without_a_training_target_have_a_start_unless_the_loss_leaves_them_out(task, start, config):
    assert start.scorer.start is start.scorer.weights
    ignoring = replace(config, loss=replace(config.loss, untrained="ignore"))
    assert fitted_wide_part(ignoring, task).scorer.start is None


def test_before_the_first_step_the_model_ranks_as_the_wide_part_does(task, start):
    part, tables = WidePart(start.scorer.weights), start.scorer.tables
    patients = [tables.patient(row, task.column) for row in task.splits["test"]]
    added, gate = part(*batch_tensors(tables, patients))
    assert gate.item() == 0
    np.testing.assert_allclose(added.detach().numpy(), start.scorer.bonus(patients), rtol=1e-5, atol=1e-5)
    logits = np.random.default_rng(0).normal(scale=9, size=(len(patients), len(task.codes))).astype(np.float32)
    scores, _ = start.scorer.add(logits, logits[:, 0], patients)
    np.testing.assert_array_equal(np.argsort(-scores), np.argsort(-start.scorer.bonus(patients)[:, :-1]))


def test_a_step_moves_every_weight_and_the_start_stays(task, start):
    model = torch.nn.Module()
    model.wide = WidePart(start.scorer.weights)
    tables = start.scorer.tables
    added, gate = model.wide(*batch_tensors(tables, start.patients[:20]))
    (added * torch.randn(added.shape)).sum().add(gate.sum()).backward()
    torch.optim.SGD(model.wide.parameters(), 0.1).step()
    trained, before = trained_weights(model), start_weights(model)
    for part in fields(WideWeights):
        assert np.abs(getattr(trained, part.name) - getattr(before, part.name)).max() > 0, part.name
        np.testing.assert_array_equal(getattr(before, part.name), getattr(start.scorer.weights, part.name))
        half = getattr(interpolated(before, trained, 0.5), part.name)
        np.testing.assert_allclose(2 * half, getattr(before, part.name) + getattr(trained, part.name), atol=1e-5)
        np.testing.assert_array_equal(getattr(interpolated(before, trained, 1), part.name), getattr(trained, part.name))


def test_the_fit_is_at_an_optimum_of_the_loss(task, config, start):
    """Small changes of the weights make the loss on the training patients worse by more than the penalty gains."""
    tables, loss, targets = start.scorer.tables, wide_loss(config, task), torch.from_numpy(task.targets("train"))
    features, of_patients = batch_tensors(tables, start.patients)

    def total(weights):
        with torch.no_grad():
            part = WidePart(weights)
            added, _ = part(features, of_patients)
            return float(loss(added[:, :-1], added[:, -1], targets, features[..., FEATURES.index("seen")]))

    best = total(start.scorer.weights)
    assert best < total(random_weights(len(task.codes)))
    draw = np.random.default_rng(0)
    for name in ("shared", "eov"):
        for _ in range(5):
            changed = {part.name: getattr(start.scorer.weights, part.name) for part in fields(WideWeights)}
            changed[name] = changed[name] + draw.normal(scale=0.5, size=changed[name].shape).astype(np.float32)
            assert total(WideWeights(**changed)) > best


def test_the_wide_part_alone_is_not_behind_popularity_or_own_history(task, start):
    tables, targets = start.scorer.tables, task.targets("test")
    scores = start.scorer.bonus([tables.patient(row, task.column) for row in task.splits["test"]])[:, :-1]
    popularity = np.tile(task.log_prior, (len(targets), 1))
    own = task.seen("test") + 0.01 * popularity
    for k in (3, 5, 10):
        assert recall_at_k(scores, targets, k) > recall_at_k(popularity, targets, k)
        assert recall_at_k(scores, targets, k) >= recall_at_k(own, targets, k) - 0.02


def test_targets_of_the_history_can_weigh_less(task, config):
    """Trained for onset, the wide part ranks new codes higher than trained for all."""
    from dataclasses import replace

    positions = {}
    for weight in (1.0, 0.05):
        loss = wide_loss(replace(config, repeated_weight=weight), task)
        scorer, _ = fit_wide_part(task, loss, seed=0)
        scores = scorer.bonus([scorer.tables.patient(row, task.column) for row in task.splits["test"]])[:, :-1]
        positions[weight] = (scores.argsort(axis=1).argsort(axis=1) * ~task.seen("test")).mean()
    assert positions[0.05] > positions[1.0] + 0.1


def test_a_checkpoint_holds_the_wide_part(task, tmp_path):
    tables, _ = count_training_visits(task)
    weights = random_weights(len(task.codes))
    assert load_wide_part(tmp_path) is None
    save_wide_part(WideScorer(tables=tables, weights=weights), tmp_path)
    assert load_wide_part(tmp_path).start is None
    counts = np.where(np.arange(len(task.codes)) % 3, tables.counts, 0)
    scorer = WideScorer(
        tables=replace(tables, counts=counts), weights=weights, start=random_weights(len(task.codes), 1)
    )
    save_wide_part(scorer, tmp_path)
    loaded = load_wide_part(tmp_path)
    assert isinstance(loaded.tables, WideTables)
    assert loaded.untrained.tolist() == (counts == 0).tolist()
    rows = [*task.splits["test"], {"age": None, "sex": None, "history": [], "text": None}]
    np.testing.assert_array_equal(
        loaded.bonus([loaded.tables.patient(row, task.column) for row in rows]),
        scorer.bonus([tables.patient(row, task.column) for row in rows]),
    )


def test_a_wide_part_of_other_features_is_refused(task, start, tmp_path):
    save_wide_part(start.scorer, tmp_path)
    arrays = load_file(tmp_path / WIDE_FILE)
    settings = {"features": ["seen"], "patient_features": [], "num_rows": 1, "age": [0, 1], "visits": 0, "codes": 0}
    save_file(arrays, tmp_path / WIDE_FILE, metadata={"wide": json.dumps(settings)})
    with pytest.raises(ValueError, match="written by another version, whose wide part reads other features"):
        load_wide_part(tmp_path)


def test_the_loss_can_leave_out_what_no_training_example_has(task, config):
    counts = task.train_counts.copy()
    counts[[3, 8]] = 0
    fewer = replace(task, train_counts=counts)
    ignoring = replace(config, loss=replace(config.loss, untrained="ignore"))
    assert untrained_codes(config, fewer) is None
    assert untrained_codes(ignoring, fewer).nonzero().ravel().tolist() == [3, 8]
    draw = torch.Generator().manual_seed(1)
    scores, eov = torch.randn(6, len(task.codes), generator=draw), torch.randn(6, generator=draw)
    targets = torch.rand(6, len(task.codes), generator=draw) < 0.2
    targets[:, [3, 8]] = False
    targets[:, 0] = True
    seen = torch.zeros_like(scores)
    loss = wide_loss(ignoring, fewer)
    before = loss(scores, eov, targets, seen)
    assert wide_loss(config, fewer)(scores, eov, targets, seen) > before
    scores[:, [3, 8]] = 50.0
    torch.testing.assert_close(loss(scores, eov, targets, seen), before)
    targets[2, 3] = True  # validation may have one: it counts as any target
    assert loss(scores, eov, targets, seen) != before


def task_of_visits(tmp_path, chances):
    """Two visits of 240 patients, the first of a quarter of the codes; `chances`: code -> that of a code of the first
    to be in the second, and of another code."""
    draw, codes = np.random.default_rng(0), list(chances)
    rows = [["pid", "vid", "dx"]]
    for number in range(240):
        first = set(draw.permutation(codes)[: len(codes) // 4])
        second = [code for code in codes if draw.random() < chances[code][code not in first]] or codes[:1]
        rows += [[f"p{number:03d}", visit, code] for visit, held in enumerate((sorted(first), second)) for code in held]
    arguments = ("table", "--input", write_csv(tmp_path / "t.csv", rows), "--patient", "pid", "--visit", "vid")
    options = ("--code", "dx", "--code-system", "icd10", "--fractions", 0.8, 0.1, 0.1, "--output", tmp_path / "task")
    return prepare(*arguments, *options)[0]


ALIKE, DIFFERENT = ((0.45, 0.15), (0.45, 0.15)), ((0.9, 0.0), (0.0, 0.3))
"""Of every other code; each is as frequent in the second visit as any."""


@pytest.mark.parametrize("kinds", [ALIKE, DIFFERENT])
def test_codes_differ_as_much_as_left_out_patients_say(tmp_path, config, monkeypatch, kinds):
    codes = [line.split("|")[0] for line in CODE_LINES.splitlines()][:20]
    of_visits = task_of_visits(tmp_path, {code: kinds[place % 2] for place, code in enumerate(codes)})
    spreads, counted, one_fit, count = [], [], fit._fit, fit.count_training_visits
    monkeypatch.setattr(fit, "_fit", lambda *given: (spreads.append(given[-1]), one_fit(*given))[1])
    monkeypatch.setattr(fit, "count_training_visits", lambda of: (counted.append(of.splits["train"]), count(of))[1])
    scorer, patients = fit_wide_part(of_visits, wide_loss(config, of_visits), seed=0)
    little, much = PER_CODE_SPREADS
    assert spreads == [little, much, much if kinds == DIFFERENT else little]
    assert scorer.weights.gate == 0
    whole, fewer = (set(rows["patient_id"]) for rows in counted)
    assert fewer < whole
    assert len(fewer) == pytest.approx(0.8 * len(whole), abs=1)
    assert len({patient.owner for patient in patients}) == len(set(of_visits.splits["train"]["patient_id"]))
