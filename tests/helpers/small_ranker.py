"""A stage-two model that was never trained, and its checkpoint: enough to rank with, and no two codes alike."""

import numpy as np
import torch
from small_model import ARCHITECTURE

from data.task import Task
from mera.language_models.code_tokens import EOV, add_code_tokens, add_event_tokens, marker_id, token_ids
from mera.language_models.models import ModelConfig, load_base_model
from rank.candidate_head import read_candidates_only
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.patients.visit_events import event_names
from rank.predict import Ranker
from rank.start import codes_written_out


def build(task, tied=False):
    torch.manual_seed(0)
    config = ModelConfig(architecture=ARCHITECTURE | {"tie_word_embeddings": tied}, tokenizer_size=400)
    model, tokenizer = load_base_model(config, task.definitions)
    tokens = add_code_tokens(model, tokenizer, dict(zip(task.codes, task.definitions, strict=True)))
    if task.has_events:
        tokens = add_event_tokens(model, tokenizer, tokens, event_names(task))
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.3)
    return model, tokenizer, tokens


def make_ranker(task, model, tokenizer, tokens, prompt=None):
    rule = DecisionRule(eov_share=0.75, offset=0.1, slope=0.8, intercept=-2.0)
    draw = np.random.default_rng(0)
    recurrence = draw.normal(size=(len(task.codes), 3)).astype(np.float32)
    bonus = draw.uniform(size=len(task.codes)).astype(np.float32)
    parts = (task.codes, tokens.definitions, prompt or PromptConfig(), rule, recurrence)
    written_out = codes_written_out(task, tokens.definitions)
    return Ranker(model.eval(), tokenizer, *parts, rare_bonus=bonus, written_out=written_out)


def candidates_of(task, tokenizer):
    return token_ids(tokenizer, task.codes), marker_id(tokenizer, EOV)


def make_checkpoint(task: Task, path, prompt=None):
    """A checkpoint directory as rank/train.py writes it."""
    model, tokenizer, tokens = build(task)
    for part in (model, tokenizer):
        part.save_pretrained(path)
    tokens.save(path)
    read_candidates_only(model, *candidates_of(task, tokenizer))
    make_ranker(task, model, tokenizer, tokens, prompt).save_settings(path)
    return path
