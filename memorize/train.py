"""Stage one: the language model memorizes the codes.

accelerate launch memorize/train.py --config configs/memorize/tiny.yaml --task prepared/diabetes130 --output runs/mem
accelerate launch memorize/train.py --config configs/memorize/smollm2.yaml --ontology icd9cm --output runs/icd9cm
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from transformers import set_seed

from memorize.config import MemorizeConfig
from memorize.encoding import QuestionEncoder
from memorize.forgetting import measured_text
from memorize.measurement import measure, measure_before, recall_record
from memorize.outputs import print_end, save_model, write_outputs
from memorize.questions import QuestionBook
from memorize.recall import print_shares
from memorize.start import asks_pretrained, context_length, load_codes, model_for_codes, training_examples
from memorize.trainer import build_trainer, on_device, unwrapped
from mera.config import config_dict
from mera.doctor.dry_run import FEW_CODES, open_run, parse_training_config, rehearse
from mera.runs.manifest import RunClock
from mera.training.entry_point import run_entry_point


def main() -> None:
    config, dry_run = parse_training_config(MemorizeConfig, __doc__)
    run, clock = open_run(config.output, dry_run), RunClock()
    set_seed(config.training.seed)
    code_set, source = load_codes(config)
    run.claim(config_dict(config), source["fingerprint"])
    text = measured_text(config.replay_text)

    model, tokenizer, code_tokens = model_for_codes(config, code_set)
    book, encoder = QuestionBook(code_set, config.questions), QuestionEncoder.of(model, tokenizer, config.questions)
    examples, length = training_examples(book, encoder, model, config), context_length(model, config)
    trainer = build_trainer(model, tokenizer, examples, book, encoder, config, run)

    batch_size = config.evaluation_batch_size
    if dry_run:
        few = QuestionBook(code_set.spread(FEW_CODES), config.questions)
        return rehearse(trainer, lambda: measure(unwrapped(trainer), encoder, few, text, length, batch_size), dry_run)
    kept, as_text = run.path("trainer") / "before.json", asks_pretrained(config)
    before = measure_before(kept, on_device(trainer), encoder, book, text, length, batch_size, as_text)
    trainer.resume_and_train(run, config.training)
    after = measure(unwrapped(trainer), encoder, book, text, length, batch_size)
    save_model(trainer, tokenizer, code_tokens, config, run)
    if trainer.is_world_process_zero():
        recall = recall_record(book, before, after)
        asked = {"pretrained, as text": before["pretrained_as_text"], "before": before["shares"]}
        print_shares(asked | {"after": recall["after"]})
        print(f"perplexity of general text: {before['perplexity']:.1f} before, {after.perplexity:.1f} after")
        write_outputs(run, config, code_set, source, recall, trainer, clock)
        print_end(run.finish() / "checkpoint", config.task)


if __name__ == "__main__":
    run_entry_point(main)
