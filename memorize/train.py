"""Stage one: the language model memorizes the codes.

accelerate launch memorize/train.py --config configs/memorize/tiny.yaml --task prepared/diabetes130 --output runs/mem
"""

from transformers import set_seed

from data.few_rows import with_few_codes
from data.task import load_task
from memorize.config import MemorizeConfig
from memorize.questions import build_questions, tokenized, tokenizer_texts
from memorize.recall import measure_recall, report_recall
from memorize.trainer import build_trainer, unwrapped
from mera.checkpoint import save_checkpoint
from mera.code_tokens import add_code_tokens
from mera.config import config_dict, parse_training_config
from mera.dry_run import FEW_CODES, open_run, rehearse
from mera.entry_point import run_entry_point
from mera.manifest import RunClock, build_manifest
from mera.models import add_lora, load_base_model
from mera.predictions import task_record
from mera.run_directory import write_json


def main() -> None:
    config, dry_run = parse_training_config(MemorizeConfig, __doc__)
    run, clock = open_run(config.output, dry_run), RunClock()
    set_seed(config.training.seed)
    task = load_task(config.task)
    run.claim(config_dict(config), task.fingerprint)
    model, tokenizer = load_base_model(config.model, tokenizer_texts(task))
    definitions = dict(zip(task.codes, task.definitions, strict=True))
    code_tokens = add_code_tokens(model, tokenizer, definitions, config.initialisation)
    examples = tokenized(build_questions(task, config.questions), tokenizer, config.model.max_length)
    if config.model.lora.rank:
        model = add_lora(model, config.model.lora)
    trainer = build_trainer(model, tokenizer, examples, task, config, run)

    if dry_run:
        few = with_few_codes(task, FEW_CODES)
        return rehearse(trainer, lambda: measure_recall(unwrapped(trainer), tokenizer, few, config.questions))
    before = measure_recall(trainer.model, tokenizer, task, config.questions, config.evaluation_batch_size)
    trainer.resume_and_train(run, config.training)
    after = measure_recall(unwrapped(trainer), tokenizer, task, config.questions, config.evaluation_batch_size)

    save_checkpoint(trainer, tokenizer, code_tokens, run.path("checkpoint"))
    if trainer.is_world_process_zero():
        report_recall(before, after)
        manifest = build_manifest(
            run=run.final.name,
            model="stage one",
            kind="memorize",
            config=config_dict(config),
            seed=config.training.seed,
            task=task_record(task, "train"),
            clock=clock,
            tokens=trainer.tokens_trained_on(),
        )
        write_json(run.path("manifest.json"), manifest)
        write_json(run.path("recall.json"), {"before": before, "after": after, "codes": len(task.codes)})
        print(f"checkpoint: {run.finish() / 'checkpoint'}")


if __name__ == "__main__":
    run_entry_point(main)
