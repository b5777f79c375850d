"""Recipes of the smallest models, for studies that train both stages in seconds.

from study_recipes import write_recipes        (pytest puts this folder on sys.path)
"""

from pathlib import Path

import yaml
from small_model import ARCHITECTURE


def write_recipes(folder: Path, levels=("all", "chapter", "category")) -> tuple[Path, Path]:
    """Recipes of stage one and of stage two."""
    one, two = folder / "one.yaml", folder / "two.yaml"
    model = {"architecture": ARCHITECTURE | {"sliding_window": None}, "tokenizer_size": 400, "max_length": 256}
    one.write_text(
        yaml.safe_dump(
            {
                "model": model,
                "questions": {"phrasings": 1, "levels": ["chapter"]},
                "training": {"epochs": 1, "batch_size": 16},
            }
        )
    )
    training = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3}
    loss = {"levels": list(levels), "threshold_form": "probability", "threshold_probability": 0.2}
    two.write_text(yaml.safe_dump({"loss": loss, "training": training, "wide": "full", "orders": 1}))
    return one, two
