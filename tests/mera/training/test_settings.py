"""What the settings of a trainer refuse before anything is trained."""

from pathlib import Path

import pytest

from mera.system.errors import UserError
from mera.training.settings import TrainingConfig, require_name_without_patterns, require_schedule


@pytest.mark.parametrize("name", ["runs [2]/rank", "runs/rank?", "*"])
def test_deepspeed_would_take_the_folder_for_a_pattern(name, tmp_path):
    with pytest.raises(UserError, match="takes \\*, \\? and \\[ in a path for a pattern; give --output a path without"):
        require_name_without_patterns(tmp_path / name)


def test_other_names_are_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_name_without_patterns(Path("runs/rank, second try (tiny)"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup": 1.0}, "training.warmup is a share of the steps, 0 or more and below 1, got 1.0"),
        ({"warmup": -0.5}, "training.warmup is a share"),
        ({"learning_rate": -1.0}, "learning_rate, weight_decay, max_grad_norm and seed must be 0 or more"),
        ({"seed": -1}, "and seed must be 0 or more"),
    ],
)
def test_numbers_that_mean_something_else_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


def test_a_schedule_that_does_not_exist_or_wants_settings_is_one_sentence():
    with pytest.raises(UserError, match=r"training.schedule cosin is none that is used here: take cosine; there are"):
        require_schedule("cosin")
    with pytest.raises(UserError, match="cosine_with_min_lr is none"):
        require_schedule("cosine_with_min_lr")
    require_schedule("constant_with_warmup")
