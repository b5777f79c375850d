"""Runs of the bi-encoder that were never trained, written as bi_encoder/train.py writes them.

from small_note_run import make_note_run        (pytest puts this folder on sys.path)
"""

from bi_encoder_runs import configuration, outputs_of, start


def make_note_run(task, output, variant="laa_mrl", **changes):
    """The run's folder: checkpoint, index, predictions."""
    config = configuration(task, output, variant=variant, **changes)
    run, trainer = start(task, config)
    outputs_of(trainer, task, config, run)
    return run.finish()
