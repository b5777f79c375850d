"""RETAIN and the Transformer encoder: against a loop over one patient, under padding and reordering, and trained."""

import numpy as np
import pytest
import torch
from ready_python import run_ready
from tiny_task import make_tiny_task

from mera.evaluation.metrics import recall_at_k
from mera.root import ROOT
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions
from rank.baselines.config import BaselinesConfig, NeuralBaselineConfig, TransformerBaselineConfig
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.neural.history_tensors import History, HistoryDataset
from rank.baselines.neural.retain import Retain
from rank.baselines.neural.training import look_interval, retain, target_loss, transformer
from rank.baselines.neural.transformer import HistoryTransformer
from rank.baselines.simple import popularity

NUM_CODES, MAX_VISITS = 12, 5
RECALL = "eval_recall_at_7"
"""By what looks are chosen among the 30 candidates of the tiny task."""
QUICK = {"width": 32, "epochs": 12, "min_steps": 0, "batch_size": 16, "learning_rate": 1e-2, "dropout": 0.1}
QUICK |= {"warmup_steps": 5, "patience": 1, "evaluate_every": 20}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("neural") / "task", patients=200)


def patient(visits, gaps, age=3, sex=1):
    """`visits`: lists of columns, latest first."""
    return History(
        codes=torch.tensor([column + 1 for codes in visits for column in codes], dtype=torch.long),
        visits=torch.tensor([visit for visit, codes in enumerate(visits) for _ in codes], dtype=torch.long),
        gaps=torch.tensor(gaps, dtype=torch.long),
        age=age,
        sex=sex,
        targets=[0],
    )


PATIENTS = [
    patient([[3, 1, 7], [1], [2, 11]], [2, 5, 9]),
    patient([], [], age=0, sex=0),
    patient([[4, 4 - 1]], [1], sex=2),
]


def collate(patients):
    dataset = HistoryDataset.__new__(HistoryDataset)
    dataset.histories, dataset.num_codes = patients, NUM_CODES
    return dataset.collate(patients)


def models():
    torch.manual_seed(0)
    return [
        Retain(NUM_CODES, 8, 0.5).eval(),
        HistoryTransformer(NUM_CODES, MAX_VISITS, width=8, layers=2, heads=2, dropout=0.5).eval(),
    ]


def test_retain_equals_a_loop_over_the_visits_of_one_patient():
    model = models()[0]
    history = PATIENTS[0]
    visits = [model.code(history.codes[history.visits == visit]).sum(dim=0) for visit in range(3)]
    told = torch.stack([visit + model.gap(gap) for visit, gap in zip(visits, history.gaps, strict=True)])
    hidden_alpha, hidden_beta = model.visit_gru(told[None])[0][0], model.variable_gru(told[None])[0][0]
    weights = [model.visit_attention(state).exp().item() for state in hidden_alpha]
    context = torch.zeros(8)
    for visit in range(3):
        beta = torch.tanh(model.variable_attention(hidden_beta[visit]))
        context = context + weights[visit] / sum(weights) * beta * visits[visit]
    patient_vector = model.age(torch.tensor(history.age)) + model.sex(torch.tensor(history.sex))
    expected = model.output(context + patient_vector)
    torch.testing.assert_close(model(collate(PATIENTS))[0], expected)


def test_the_transformer_reads_the_first_token_and_the_means_of_the_last_and_of_all_visits():
    model, history = models()[1], PATIENTS[0]
    tokens = [model.age(torch.tensor(history.age)) + model.sex(torch.tensor(history.sex))]
    for code, visit in zip(history.codes, history.visits, strict=True):
        tokens.append(model.code(code) + model.visit(visit) + model.gap(history.gaps[visit]))
    read = model.encoder(torch.stack([model.norm(token) for token in tokens])[None])[0]
    of_codes = [read[1 + place] for place in range(len(history.codes))]
    of_last = [state for state, visit in zip(of_codes, history.visits, strict=True) if visit == 0]
    pooled = read[0] + sum(of_last) / len(of_last) + sum(of_codes) / len(of_codes)
    torch.testing.assert_close(model(collate(PATIENTS))[0], model.output(pooled), rtol=1e-4, atol=1e-5)
    without_a_visit = model.encoder(model.norm(model.age(torch.tensor(0)) + model.sex(torch.tensor(0)))[None, None])[0]
    torch.testing.assert_close(model(collate(PATIENTS))[1], model.output(without_a_visit[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_neighbours_and_the_order_within_a_visit_change_nothing_but_the_order_of_visits_does(model):
    together = model(collate(PATIENTS))
    assert together.isfinite().all()
    for row, history in enumerate(PATIENTS):
        torch.testing.assert_close(model(collate([history]))[0], together[row], rtol=1e-4, atol=1e-5)
    reordered = model(collate([patient([[7, 3, 1], [1], [11, 2]], [2, 5, 9])]))[0]
    torch.testing.assert_close(reordered, together[0], rtol=1e-4, atol=1e-5)
    for other in (patient([[1], [3, 1, 7], [2, 11]], [2, 5, 9]), patient([[3, 1, 7], [1], [2, 11]], [2, 5, 1])):
        assert (model(collate([other]))[0] - together[0]).abs().max() > 1e-4


def test_histories_are_read_backwards_and_cut_to_the_latest_visits(task):
    row = next(row for row in task.splits["train"] if len(row["history"]) >= 3)
    index = list(task.splits["train"]["example_id"]).index(row["example_id"])
    history = HistoryDataset.of_train(task, HistoryColumns.of_task(task), max_visits=2)[index]
    assert history.visits.tolist() == [0] * len(row["history"][-1]["codes"]) + [1] * len(row["history"][-2]["codes"])
    codes = [task.codes[column - 1] for column in history.codes]
    assert codes == row["history"][-1]["codes"] + row["history"][-2]["codes"]
    # 90 days: more than 64 = 2^6; 180 days: one doubling more.
    assert [visit["days_before"] for visit in row["history"][-2:]] == [180, 90]
    assert history.gaps.tolist() == [8, 9]
    assert history.age == 1 + row["age"] // 5


def test_losses_against_their_definitions():
    scores = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]]).bool()
    rows = [
        sum(-float(scores[row, column] - scores[row].logsumexp(0)) for column in range(4) if targets[row, column])
        / int(targets[row].sum())
        for row in range(3)
    ]
    assert float(target_loss(scores, targets, "softmax")) == pytest.approx(np.mean(rows), rel=1e-5)
    assert float(target_loss(torch.zeros(3, 4), targets, "softmax")) == pytest.approx(np.log(4))
    cells = [
        float(torch.log1p(torch.exp(-scores[row, column] if targets[row, column] else scores[row, column])))
        for row in range(3)
        for column in range(4)
    ]
    assert float(target_loss(scores, targets, "bce")) == pytest.approx(np.mean(cells), rel=1e-5)


@pytest.mark.parametrize(
    ("train", "config"),
    [(retain, NeuralBaselineConfig(**QUICK)), (transformer, TransformerBaselineConfig(**QUICK))],
    ids=["retain", "transformer"],
)
def test_they_learn_from_the_history_and_a_seed_fixes_the_result(task, train, config):
    found, targets = train(task, config, seed=1), task.targets("test")
    assert found.test.shape == targets.shape
    assert recall_at_k(found.test, targets, 5) > recall_at_k(popularity(task).test, targets, 5) + 0.05
    looks = [entry for entry in found.training if RECALL in entry]
    recalls, steps = [entry[RECALL] for entry in looks], [entry["step"] for entry in looks]
    assert found.chosen["step"] == steps[int(np.argmax(recalls))]
    assert recall_at_k(found.validation, task.targets("validation"), 7) == pytest.approx(max(recalls))
    np.testing.assert_allclose(np.exp(found.test).sum(axis=1), 1.0, rtol=1e-4)  # log-probabilities
    # On a GPU the gradients of an embedding are summed in any order.
    within = 0.01 if torch.cuda.is_available() else 0.0
    np.testing.assert_allclose(train(task, config, seed=1).test, found.test, rtol=0, atol=within)
    assert (train(task, config, seed=2).test != found.test).any()


def test_how_much_is_trained_follows_the_number_of_examples(task):
    """Batches are halved until an epoch has min_epoch_steps steps, and patience counts steps, not epochs."""
    keys = QUICK | {"batch_size": 128, "min_epoch_steps": 8, "min_steps": 60, "epochs": 1, "evaluate_every": 100}
    found = retain(task, NeuralBaselineConfig(**keys | {"learning_rate": 1e-9}), seed=0)
    epoch_steps = -(-len(task.splits["train"]) // 16)
    assert len(task.splits["train"]) == 140
    assert found.chosen["batch_size"] == 16
    assert epoch_steps == 9
    steps = [entry["step"] for entry in found.training if "loss" in entry]
    assert steps == [10, 20, 30, 40, 50, 60, 63], "whole epochs, at least 60 steps, a look every 10"
    assert found.training[0]["epoch"] == pytest.approx(10 / 9, abs=1e-3)
    assert look_interval(100, 665) == 100
    assert look_interval(100, 37) == 37
    assert look_interval(5, 37) == 5


def test_without_history_only_patients_with_codes_train(task):
    rows = list(task.splits["train"])
    whole, part = (HistoryDataset.of_train(task, HistoryColumns.of_task(task), 50, flag) for flag in (True, False))
    assert len(whole) == len(rows)
    assert len(part) == sum(any(visit["codes"] for visit in row["history"]) for row in rows)


def test_the_command_writes_the_runs_that_were_asked_for(task, tmp_path):
    command = ["rank/run_baselines.py", "--task", task.path, "--output", tmp_path / "runs"]
    options = ["--only", "[retain, popularity]", "--seed", "3"]
    options += ["--retain.epochs", "3", "--retain.batch_size", "8", "--retain.learning_rate", "0.01"]
    options += ["--retain.min_steps", "0"]
    first = run_ready([*command, *options], cwd=ROOT)
    assert first.returncode == 0, first.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["popularity", "retain"]
    found = read_predictions(tmp_path / "runs" / "retain")
    assert (found.manifest["model"], found.manifest["kind"], found.manifest["seed"]) == ("RETAIN", "baseline", 3)
    assert found.manifest["config"]["chosen_on_validation"]["step"] > 0
    assert found.manifest["calibration"]["slope"] > 0
    validation = read_validation(tmp_path / "runs" / "retain")
    best = max(entry.get(RECALL, 0) for entry in found.records["training"])
    assert recall_at_k(validation.scores, validation.targets, 7) == pytest.approx(best)
    assert validation.manifest["task"] == found.manifest["task"] | {"split": "validation"}
    losses = [entry["step"] for entry in found.records["training"] if "loss" in entry]
    num_steps = 3 * -(-len(task.splits["train"]) // 8)
    assert losses[-1] == num_steps
    more = [*command, "--only", "retain", "popularity", "linear", *options[2:]]
    again = run_ready(more, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    kept = [line for line in again.stdout.splitlines() if line.startswith("finished before")]
    assert kept == [f"finished before: {tmp_path / 'runs' / name}" for name in ("popularity", "retain")]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["linear", "popularity", "retain"]
    other = run_ready([*more, "--retain.epochs", "2"], cwd=ROOT)
    assert other.returncode == 1
    assert f"{tmp_path / 'runs' / 'retain'} already exists and differs in retain" in other.stderr


def test_bad_settings_are_one_sentence():
    with pytest.raises(ValueError, match="width \\(10\\) must be a multiple of its heads \\(4\\)"):
        TransformerBaselineConfig(width=10)
    with pytest.raises(ValueError, match="dropout in \\[0, 1\\)"):
        NeuralBaselineConfig(dropout=1.0)
    with pytest.raises(ValueError, match="'linear'"):
        BaselinesConfig(task="t", output="o", only=("ridge",))
    assert BaselinesConfig(task="t", output="o", only="ease, gbdt").only == ("ease", "gbdt")
