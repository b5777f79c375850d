"""Stage two: a language model learns to rank a patient's codes, with EOV as the threshold; simple baselines."""
