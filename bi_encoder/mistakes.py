"""The index's own mistakes as hard negatives: searched for at the beginning of an epoch, with the weights of then
(Xiong et al. 2020, ANCE, arXiv 2007.00808)."""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from bi_encoder.negatives import wrong_first_codes
from bi_encoder.predict import embed_codes, embed_windows
from bi_encoder.search.index import CodeIndex

if TYPE_CHECKING:
    from bi_encoder.trainer import BiEncoderTrainer


def index_mistakes(trainer: "BiEncoderTrainer") -> list[list[int]]:
    """For each training example the codes that the mean-pooled index wrongly ranks first; every process finds all."""
    config, task, model = trainer.bi_encoder_config, trainer.task, trainer.bi_encoder
    examples, keep = trainer.train_dataset, trainer.hard_negatives.mistakes_kept
    batch_size = config.selection.batch_size
    keys = embed_codes(model, task, config.encoder.max_key_tokens, batch_size).cpu().numpy()
    queries = embed_windows(model, examples["windows"], config.encoder.window_overlap, batch_size).cpu().numpy()
    targets = list(examples["targets"])
    wanted = keep + max(map(len, targets))
    found, _ = CodeIndex.build(keys, task.codes).search(queries, wanted, first_pass_dim=model.hidden_size)
    column = task.column
    return wrong_first_codes(([column[code] for code in row] for row in found), targets, keep)


class RefreshMistakes(TrainerCallback):
    """Searches before the first epoch of a process, resumed or not, and then every `refresh_mistakes_every` epochs."""

    def __init__(self, trainer: "BiEncoderTrainer"):
        self.trainer = trainer

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        negatives = self.trainer.hard_negatives
        every = self.trainer.bi_encoder_config.objective.refresh_mistakes_every
        if not negatives.mistakes or round(state.epoch or 0) % every == 0:
            negatives.mistakes = index_mistakes(self.trainer)
