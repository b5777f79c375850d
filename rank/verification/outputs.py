"""What a run that verifies leaves behind: a verifier, and predictions of the test split."""

from mera.config import config_dict
from mera.language_models.code_tokens import CodeTokens
from mera.runs.manifest import RunClock
from mera.runs.records import memorization_record
from mera.runs.run_directory import RunDirectory
from mera.training.checkpoint import save_checkpoint
from rank.config import RankConfig
from rank.decision import DecisionRecord, decision_record, fit_decision_rule
from rank.outputs import RankedPatients, write_ranked
from rank.patients.trained_on import TrainedOn
from rank.start import codes_written_out
from rank.verification.head import verification_state
from rank.verification.scoring import scores_of_all_codes
from rank.verification.start import VerifierInputs
from rank.verification.trainer import VerificationTrainer
from rank.verification.verifier import Verifier


def fit_verifier(
    trainer: VerificationTrainer, code_tokens: CodeTokens, inputs: VerifierInputs, config: RankConfig
) -> tuple[Verifier, DecisionRecord, RankedPatients]:
    """A verifier of the trained model with its threshold and calibration, which are fitted on validation; what the
    manifest says of these; and the validation patients as it ranks them. Every process must call this."""
    model, task = trainer.accelerator.unwrap_model(trainer.model), inputs.task
    uses_eov = config.loss.threshold_weight > 0
    split = inputs.validation
    scores, eov = inputs.verified(model, split, "validation")
    complete = scores_of_all_codes(scores, eov, split.candidates)
    rule = fit_decision_rule(complete, eov, split.targets, uses_eov, config.eov_offset == "fitted")
    verifier = Verifier(
        model,
        inputs.builder.tokenizer,
        task.codes,
        code_tokens.definitions,
        config.prompt,
        rule,
        inputs.first_pass.num_candidates,
        inputs.first_pass.scale,
        TrainedOn.of_task(task, config.prompt),
        task.rules,
        codes_written_out(task, code_tokens.definitions),
    )
    verifier.add_definitions(task.all_definitions)
    complete = verifier.complete(scores, eov, split.candidates)
    decision = decision_record(rule, complete, eov, split.targets, uses_eov)
    ranked = RankedPatients(scores=complete, thresholds=rule.thresholds(complete, eov), sentences=split.sentences)
    return verifier, decision, ranked


def save_verifier(trainer: VerificationTrainer, verifier: Verifier, code_tokens: CodeTokens, run: RunDirectory) -> None:
    """Write `checkpoint/`, which `Verifier.load` reads; every process must call this."""
    path = run.path("checkpoint")
    state = verification_state(trainer.accelerator.unwrap_model(trainer.model))
    save_checkpoint(trainer, verifier.tokenizer, code_tokens, path, leave_out="verification.")
    if trainer.is_world_process_zero():
        verifier.save(path, state)


def verify_split(trainer: VerificationTrainer, verifier: Verifier, inputs: VerifierInputs, name: str) -> RankedPatients:
    """The patients of a split as the verifier ranks them; every process must call this."""
    split = inputs.split(name)
    scores, eov = inputs.verified(trainer.accelerator.unwrap_model(trainer.model), split, name)
    complete = verifier.complete(scores, eov, split.candidates)
    return RankedPatients(
        scores=complete, thresholds=verifier.rule.thresholds(complete, eov), sentences=split.sentences
    )


def write_outputs(
    trainer: VerificationTrainer,
    inputs: VerifierInputs,
    test: RankedPatients,
    validation: RankedPatients,
    decision: DecisionRecord,
    config: RankConfig,
    run: RunDirectory,
    clock: RunClock,
) -> None:
    """Write `predictions/` and `validation/`."""
    records = {
        "training": trainer.state.log_history,
        "memorization": memorization_record(config.model.base),
        "first_pass": inputs.first_pass.record(),
    }
    write_ranked(
        inputs.task,
        test,
        validation,
        run,
        name=config.name,
        config=config_dict(config),
        seed=config.training.seed,
        decision=decision,
        records=records,
        clock=clock,
        tokens=trainer.tokens_trained_on(),
    )
