"""A verifying run from its configuration to its folder, for `rank/train.py --candidates`."""

import sys
from collections.abc import Callable

from data.task import Task
from mera.runs.figures import print_end
from mera.runs.manifest import RunClock
from mera.runs.run_directory import RunDirectory
from mera.training.stage_trainer import StageTrainer
from rank.config import RankConfig
from rank.prompt import PromptBuilder
from rank.verification.first_pass import FirstPass
from rank.verification.outputs import fit_verifier, save_verifier, verify_split, write_outputs
from rank.verification.start import VerifierInputs, data_sentences, verifier_for_task
from rank.verification.trainer import build_trainer


def train_verifier(
    config: RankConfig,
    task: Task,
    run: RunDirectory,
    clock: RunClock,
    rehearse: Callable[[StageTrainer, Callable[[], object]], None] | None,
) -> None:
    """The whole run. `rehearse`: what `--dry-run` does with a trainer and its evaluation, in the place of training."""
    unread = config.unread_by_verification
    if unread:
        print(f"with --candidates these change nothing: {', '.join(unread)}", file=sys.stderr)
    stage = VerifierRun(config, task, run)
    sys.stderr.writelines(f"{sentence}\n" for sentence in stage.sentences)
    if rehearse is not None:
        return rehearse(stage.trainer, stage.trainer.evaluate)
    stage.trainer.resume_and_train(run, config.training)
    stage.write(clock)


class VerifierRun:
    """Its parts, built: `trainer` trains, `sentences` say what of the patients it does not see, `write` measures and
    saves."""

    def __init__(self, config: RankConfig, task: Task, run: RunDirectory):
        assert config.candidates is not None, "a verifier has a first pass"
        self.config, self.run = config, run
        settings = config.verification
        first_pass = FirstPass(config.candidates, task, settings.num_candidates)  # before any model is loaded
        train_candidates = first_pass.candidates("train", list(task.splits["train"]))
        first_pass.candidates("test", list(task.splits["test"]))
        model, tokenizer, self.code_tokens = verifier_for_task(config, task)
        builder = PromptBuilder(tokenizer, config.prompt, task.all_definitions | self.code_tokens.definitions)
        self.inputs = VerifierInputs(task, builder, first_pass, config.evaluation_batch_size)
        train = self.inputs.split("train", train_candidates)
        self.sentences = data_sentences(task, [train, self.inputs.validation])
        examples = self.inputs.training_examples(train, settings.train_candidates, config.training.seed)
        self.inputs.standardise(model, examples)
        self.trainer = build_trainer(model, task, examples, self.inputs, config, run)

    def write(self, clock: RunClock) -> None:
        """Fit the threshold on validation, verify the test split once, and write the run; prints where it is."""
        trainer, config = self.trainer, self.config
        verifier, decision, validation = fit_verifier(trainer, self.code_tokens, self.inputs, config)
        test = verify_split(trainer, verifier, self.inputs, "test")
        sys.stderr.writelines(f"{sentence}\n" for sentence in test.sentences)
        save_verifier(trainer, verifier, self.code_tokens, self.run)
        if trainer.is_world_process_zero():
            write_outputs(trainer, self.inputs, test, validation, decision, config, self.run, clock)
            print_end(self.run.finish(), config.task, ("mera", "retrieval-baselines"))
