"""A trained bi-encoder's validation scores beside its predictions, as a run of its own: nothing is trained.

python bi_encoder/reruns/rescore.py --run runs/laa_mrl --task prepared/codiesp-en --output runs/laa_mrl-scored
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from pathlib import Path

from bi_encoder.checkpoint import load_bi_encoder
from bi_encoder.config import BiEncoderConfig, RescoreConfig
from bi_encoder.predict import score_windows, split_windows
from bi_encoder.scoring.prior import Prior
from bi_encoder.start import with_carried_evidence
from data.task import load_task
from mera.config import load_config, parse_config
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training.entry_point import run_entry_point


def main() -> None:
    options = parse_config(RescoreConfig, __doc__)
    run, task, trained = RunDirectory.begun_anew(options.output), load_task(options.task), read_predictions(options.run)
    if trained.manifest["task"]["fingerprint"] != task.fingerprint:
        raise UserError(f"{options.run} was trained on another task than {options.task}; give that one")
    model, record = load_bi_encoder(Path(options.run) / "checkpoint", codes=task.codes)
    config = load_config(BiEncoderConfig, overrides=trained.manifest["config"])

    width = model.hidden_size
    task, _ = with_carried_evidence(task, config)
    windows = split_windows(task, "validation", model.tokenizer, config.encoder)
    scores = score_windows(model, task, windows, [width], config, progress="scoring validation")[width]
    scores += Prior(weight=record.prior_weight, offsets=record.prior_offsets).of_codes(task.train_counts)
    write_predictions(run.path("predictions"), trained)
    write_validation(run, task, scores, record.threshold, trained.manifest)
    print(f"predictions and validation: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
