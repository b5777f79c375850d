"""What the settings of a trainer refuse before anything is trained."""

from pathlib import Path

import pytest

from mera.system.errors import UserError
from mera.training.settings import require_name_without_patterns


@pytest.mark.parametrize("name", ["runs [2]/rank", "runs/rank?", "*"])
def test_deepspeed_would_take_the_folder_for_a_pattern(name, tmp_path):
    with pytest.raises(UserError, match="takes \\*, \\? and \\[ in a path for a pattern; give --output a path without"):
        require_name_without_patterns(tmp_path / name)


def test_other_names_are_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_name_without_patterns(Path("runs/rank, second try (tiny)"))
