"""Opening a checkpoint: what was saved, ready to be asked."""

import torch
from small_model import DEFINITIONS, small_model

from mera.language_models.code_tokens import add_code_tokens, token_ids
from mera.language_models.models import open_checkpoint


def test_an_opened_checkpoint_is_what_was_saved_and_is_not_in_training(tmp_path):
    model, tokenizer = small_model()
    add_code_tokens(model, tokenizer, DEFINITIONS)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened, its_tokenizer = open_checkpoint(tmp_path, "cpu")
    assert not any(module.training for module in opened.modules())
    assert token_ids(its_tokenizer, list(DEFINITIONS)).tolist() == token_ids(tokenizer, list(DEFINITIONS)).tolist()
    ids = token_ids(tokenizer, ["428.0", "E11.9", "428"])[None]
    assert torch.equal(opened(input_ids=ids).logits, model.eval()(input_ids=ids).logits)
