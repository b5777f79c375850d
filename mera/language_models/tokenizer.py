"""A small tokenizer trained on the user's own texts, for models built from their configuration alone."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
ENCODER_TOKENS = {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, max_length: int, encoder: bool = False
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (any text can be encoded) with pad, bos, eos and unk tokens.

    `encoder` adds the cls, sep and mask roles that encoders such as ModernBERT expect and wraps every text in
    `<s> ... </s>`; without it nothing is added around a text.
    """
    roles = SPECIAL_TOKENS | (ENCODER_TOKENS if encoder else {})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(dict.fromkeys(roles.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if encoder:
        ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **roles)
