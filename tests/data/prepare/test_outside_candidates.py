"""Models of a task with true codes and histories outside its candidates: read, never ranked, never negatives."""

import numpy as np
import pytest
import torch
from prepare_case import run, write_csv
from small_encoder import SMALL_ARCHITECTURE, make_encoder
from small_model import ARCHITECTURE

from bi_encoder.config import EncoderConfig
from bi_encoder.inputs.texts import key_texts, query_texts
from bi_encoder.start import training_examples as encoder_examples
from memorize.code_sets.code_set import task_codes
from mera.language_models.code_tokens import add_code_tokens
from mera.language_models.models import ModelConfig, load_base_model
from rank.baselines.config import NeuralBaselineConfig, TransformerBaselineConfig
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.linear import linear
from rank.baselines.neural.history_tensors import HistoryDataset
from rank.baselines.neural.training import retain, transformer
from rank.baselines.simple import own_history
from rank.config import PromptConfig, RankConfig
from rank.decision import DecisionRule
from rank.partial_outputs import PartialOutputCollator
from rank.predict import Ranker
from rank.prompt import PromptBuilder
from rank.start import data_sentences, training_examples
from rank.validation import Validation

SENTENCE = "train: 20 of 40 true codes (1 different), in 20 of 20 examples, are no candidates and not trained on"


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Candidates I10, I50.9 and E11.9; everybody has N17.9 as well, in history and targets.

    Who had J18.9, which is no candidate, gets I50.9 next, else E11.9.
    """
    folder = tmp_path_factory.mktemp("outside")
    (folder / "codes.txt").write_text("I10\nI50.9\nE11.9\n")
    rows = [["pid", "vid", "dx"]]
    for number in range(40):
        cause, effect = ("J18.9", "I50.9") if number % 2 else ("F32.A", "E11.9")
        rows += [[f"p{number:02d}", 0, code] for code in ("I10", "N17.9", cause)]
        rows += [[f"p{number:02d}", 1, code] for code in (effect, "N17.9")]
    source = write_csv(folder / "t.csv", rows)
    arguments = ("table", "--input", source, "--patient", "pid", "--visit", "vid", "--code", "dx")
    options = ("--code-system", "icd10", "--fractions", 0.5, 0.25, 0.25, "--candidates", folder / "codes.txt")
    return run(*arguments, *options, "--output", folder / "task")[0]


@pytest.fixture(scope="module")
def model_and_tokenizer(task):
    torch.manual_seed(0)
    texts = [*task.all_definitions.values(), "0 1 2 3 4 5 6 7 8 9 F M ; < >"]
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400), texts)
    return model, tokenizer, add_code_tokens(model, tokenizer, dict(zip(task.codes, task.definitions, strict=True)))


def builder(task, tokenizer, tokens, **settings):
    return PromptBuilder(tokenizer, PromptConfig(**settings), task.all_definitions | tokens.definitions)


def test_true_codes_outside_are_no_positives_and_no_negatives_and_are_counted(task, model_and_tokenizer):
    _, tokenizer, tokens = model_and_tokenizer
    config = RankConfig(task="t", output="o", model=ModelConfig(architecture=ARCHITECTURE), orders=2)
    prompts = builder(task, tokenizer, tokens)
    dataset = training_examples(task, prompts, config)
    assert SENTENCE in data_sentences(task, dataset, Validation(task, prompts, 4), config.prompt)
    column = task.column
    for index, row in enumerate(task.splits["train"]):
        assert len(row["targets"]) == 2
        assert dataset.targets[index] == [column[code] for code in row["targets"] if code != "N17.9"]
    batch = PartialOutputCollator(torch.tensor([5, 6, 7]), 0, False)([dataset[0], dataset[1]])
    assert batch["positive"].shape[1] == batch["recurrence"].shape[1] == 3
    assert batch["recurrence"][:, column["I10"], 0].tolist() == [1.0, 1.0]
    tokenizer = make_encoder(key_texts(task)).tokenizer
    rows = encoder_examples(task, tokenizer, EncoderConfig(architecture=SMALL_ARCHITECTURE))
    assert list(rows["targets"]) == dataset.targets


def test_prompts_read_codes_outside_with_their_definitions(task, model_and_tokenizer):
    model, tokenizer, tokens = model_and_tokenizer
    row = task.splits["test"][0]
    of_definitions = builder(task, tokenizer, tokens, history="definitions")
    prompt = of_definitions.build(row)
    assert task.definition("N17.9") in tokenizer.decode(prompt.ids)
    assert prompt.plain_codes == 0
    assert builder(task, tokenizer, tokens).build(row).plain_codes == 2, "without a token: N17.9 and the cause"
    rule = DecisionRule(eov_share=1.0, offset=0.0, slope=1.0, intercept=0.0)
    settings = (tokens.definitions, PromptConfig(history="definitions"), rule, np.zeros((3, 3), dtype=np.float32))
    ranker = Ranker(model, tokenizer, task.codes, *settings)
    assert ranker.prompts([row])[0].ids != prompt.ids
    ranker.add_definitions(task.all_definitions)
    assert ranker.prompts([row])[0].ids == prompt.ids, "a loaded model reads them as the one that was trained"
    assert list(ranker.definitions) == task.codes


def test_validation_ranks_candidates_alone(task, model_and_tokenizer):
    _, tokenizer, tokens = model_and_tokenizer
    validation = Validation(task, builder(task, tokenizer, tokens), 4)
    assert validation.targets.shape == (10, 3)
    assert validation.targets.sum(axis=1).tolist() == [1] * 10


def test_baselines_read_what_training_histories_hold_and_rank_candidates(task):
    columns = HistoryColumns.of_task(task).of_codes
    assert list(columns) == ["E11.9", "I10", "I50.9", "F32.A", "J18.9", "N17.9"]
    data = HistoryDataset.of_train(task, HistoryColumns.of_task(task), 4)
    assert {len(history.codes) for history in data.histories} == {3}
    targets = task.targets("test")
    effects = [task.column["E11.9"], task.column["I50.9"]]
    found = linear(task).test[:, effects].argmax(axis=1)
    assert (found == targets[:, task.column["I50.9"]]).all(), "the cause, no candidate, tells which comes next"
    quick = {"epochs": 1, "min_steps": 0, "width": 8}
    for scores in (
        retain(task, NeuralBaselineConfig(**quick), seed=0).test,
        transformer(task, TransformerBaselineConfig(**quick), seed=0).test,
    ):
        assert scores.shape == targets.shape
        assert len(np.unique(scores.round(5), axis=0)) == 2, "one for each cause"
    assert own_history(task).test.argmax(axis=1).tolist() == [task.column["I10"]] * len(targets)


def test_the_other_models_know_candidates_alone(task):
    assert task_codes(task).codes == task.codes
    assert len(key_texts(task)) == 3
    text = query_texts(task, "test")[0].text
    assert task.definition("N17.9") in text
    assert "I50.9" not in text
