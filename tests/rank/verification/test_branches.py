"""Candidates as branches of one prompt: the scores and the gradients of a sequence for each."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from rank.config import LossConfig
from rank.loss import stage_two_loss
from rank.verification.branches import VerificationCollator, VerificationDataset, VerificationExample
from rank.verification.first_pass import Candidates
from rank.verification.head import Verification, freeze_all_but, read_hidden_states
from rank.verification.scoring import read_batch, scores_of_all_codes, verify
from rank.verification.trainer import batch_loss

NUM_CODES, PAD_ID, EOV_LOG_ODDS = 12, 0, -1.25
GROUPS = torch.stack([torch.zeros(NUM_CODES, dtype=torch.long), torch.arange(NUM_CODES) // 4])
BRANCHES = [[10 + code, 20 + code % 5, 9][code % 3 :] for code in range(NUM_CODES)]


def example(prompt_ids, columns, log_odds, targets, **more):
    return VerificationExample(prompt_ids, columns, [BRANCHES[column] for column in columns], log_odds, targets, **more)


EXAMPLES = [
    example([1, 5, 6, 7, 8, 3], [0, 4, 7, 2], [0.3, -0.5, 1.5, -2.0], [0, 7, 11]),
    example([1, 3], [2, 3, 5], [0.1, 0.2, -0.7], [9]),
    example([1, 9, 10, 3], [11, 5, 1, 8, 0], [2.0, 1.0, 0.5, -0.5, -3.0], [11, 8]),
]
BLANK = example([1, 4, 3], [], [], [], is_blank=True)


def tiny_model(sliding_window=None, tied=False):
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=sliding_window,
        tie_word_embeddings=tied,
    )
    model = MistralForCausalLM(config)
    model.verification = Verification(32)
    for parameter, size in zip(model.verification.parameters(), (0.5, 0.05, 0.03), strict=True):
        torch.nn.init.normal_(parameter, std=size)
    return model


def collated(examples):
    return VerificationCollator(NUM_CODES, PAD_ID, EOV_LOG_ODDS)(examples)


def branch_loss(model, examples, config, step_rows=None):
    batch = collated(examples)
    return batch_loss(read_batch(model, model, batch), batch, GROUPS, config, step_rows)


def separate_scores(model, example):
    """Each candidate, and EOV, from a sequence of its own: no mask, no padding. Scores (C,), EOV ()."""

    def read(ids, log_odds, is_eov):
        hidden = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1:]
        return model.verification(hidden, torch.tensor([log_odds]), torch.tensor([is_eov]))[0]

    scores = [torch.tensor(0.0)] * NUM_CODES
    for column, branch, log_odds in zip(example.columns, example.branches, example.log_odds, strict=True):
        scores[column] = read([*example.prompt_ids, *branch], log_odds, False)
    return torch.stack(scores), read(example.prompt_ids, EOV_LOG_ODDS, True)


def separate_loss(model, examples, config):
    scores, eov = zip(*(separate_scores(model, example) for example in examples), strict=True)
    positive = torch.zeros(len(examples), NUM_CODES, dtype=torch.bool)
    ignored = torch.ones_like(positive)
    for row, each in enumerate(examples):
        positive[row, [column for column in each.targets if column in each.columns]] = True
        ignored[row, each.columns] = False
    return stage_two_loss(torch.stack(scores), torch.stack(eov), positive, ignored, GROUPS, config)


@pytest.mark.parametrize("sliding_window", [None, 4])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("threshold_form", ["atlop", "probability"])
def test_branches_equal_separate_sequences(sliding_window, tied, threshold_form):
    """Prompts of 6, 2 and 4 tokens and branches of 1 to 3, so there is padding; one row has no true candidate."""
    config = LossConfig(levels=("all", "chapter"), threshold_weight=0.7, threshold_form=threshold_form)
    together, apart = tiny_model(sliding_window, tied), tiny_model(sliding_window, tied)
    read_hidden_states(together)
    fast, slow = branch_loss(together, EXAMPLES, config), separate_loss(apart, EXAMPLES, config)
    (3.0 * fast).backward()
    (3.0 * slow).backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    for (name, one), (_, other) in zip(together.named_parameters(), apart.named_parameters(), strict=True):
        if name == "lm_head.weight" and not tied:
            assert one.grad is None
            assert other.grad is None
            continue
        error = (one.grad - other.grad).norm() / other.grad.norm()
        assert error < 1e-5, f"{name}: relative error {error:.1e}"


def test_scores_of_an_evaluation_are_those_of_separate_sequences():
    model, plain = tiny_model(), tiny_model()
    read_hidden_states(model)
    log_odds = np.random.default_rng(0).normal(size=(3, NUM_CODES)).astype(np.float32)
    columns = np.argsort(-log_odds, axis=1)[:, :4]
    prompts = [each.prompt_ids for each in EXAMPLES]
    candidates = Candidates(log_odds, columns)
    collator = VerificationCollator(NUM_CODES, PAD_ID, EOV_LOG_ODDS)
    scores, eov = verify(model, prompts, candidates, BRANCHES, collator, batch_size=2)
    for row, prompt in enumerate(prompts):
        alone = example(prompt, columns[row].tolist(), log_odds[row, columns[row]].tolist(), [])
        expected, expected_eov = separate_scores(plain, alone)
        np.testing.assert_allclose(scores[row], expected[columns[row]].detach(), rtol=1e-5, atol=1e-5)
        assert abs(eov[row] - expected_eov.item()) < 1e-5


def test_a_batch_in_parts_and_blanks_add_up_to_the_whole():
    config = LossConfig(levels=("all", "chapter"), threshold_weight=0.7)
    model = tiny_model()
    read_hidden_states(model)
    whole = branch_loss(model, EXAMPLES, config)
    parts = [[EXAMPLES[0], BLANK], [BLANK, *EXAMPLES[1:]], [BLANK]]
    batches = [collated(part) for part in parts]
    keys = ("weight_of_rows", "weight_of_positive_rows")
    step_rows = torch.tensor([sum(batch[key] for batch in batches) for key in keys])
    assert step_rows.tolist() == [3, 2]
    torch.testing.assert_close(sum(branch_loss(model, part, config, step_rows) for part in parts), whole)


def test_an_untrained_verifier_scores_as_its_first_pass():
    model = tiny_model()
    model.verification = Verification(32)
    read_hidden_states(model)
    batch = collated(EXAMPLES)
    np.testing.assert_array_equal(read_batch(model, model, batch).detach(), batch["log_odds"])


def test_codes_that_are_no_candidates_stay_below_in_their_order():
    log_odds = np.array([[3.0, 2.0, 1.0, 0.5, 0.25], [0.1, 0.2, 0.3, 0.4, 0.5]], dtype=np.float32)
    candidates = Candidates(log_odds, np.array([[0, 1], [4, 3]]))
    untrained = scores_of_all_codes(np.array([[3.0, 2.0], [0.5, 0.4]], np.float32), np.float32([1.5, 0.45]), candidates)
    np.testing.assert_array_equal(untrained[0], log_odds[0])
    assert np.argsort(-untrained, axis=1).tolist() == [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]
    np.testing.assert_allclose(untrained[1], [0.1, 0.2, 0.3, 0.4, 0.5])
    lowered = scores_of_all_codes(np.array([[-7.0, 9.0], [0.1, -0.2]], np.float32), np.float32([-8, 5]), candidates)
    assert np.argsort(-lowered, axis=1).tolist() == [[1, 0, 2, 3, 4], [4, 3, 2, 1, 0]]
    assert (lowered[0, 2:] < -8).all()
    assert (lowered[1, :3] < -0.2).all()


def test_training_reads_all_true_candidates_and_some_of_the_others():
    log_odds = np.random.default_rng(1).normal(size=(2, NUM_CODES)).astype(np.float32)
    candidates = Candidates(log_odds, np.argsort(-log_odds, axis=1)[:, :8])
    true = [candidates.columns[0, [1, 6]].tolist(), []]
    dataset = VerificationDataset([[1, 3], [1]], true, candidates, BRANCHES, train_candidates=5, seed=0)
    drawn = []
    for epoch in (0, 0, 1, 2):
        dataset.set_epoch(epoch)
        first, second = dataset[0], dataset[1]
        assert set(true[0]) <= set(first.columns) <= set(candidates.columns[0])
        assert len(first.columns) == len(set(first.columns)) == len(second.columns) == 5
        assert first.branches == [BRANCHES[column] for column in first.columns]
        np.testing.assert_array_equal(first.log_odds, log_odds[0, first.columns])
        drawn.append(second.columns)
    assert drawn[0] == drawn[1]
    assert len({tuple(columns) for columns in drawn}) > 1
    dataset.train_candidates = 0
    assert dataset[0].columns == candidates.columns[0].tolist()
    assert dataset.lengths()[0] == 2 + sum(len(BRANCHES[column]) for column in candidates.columns[0])


@pytest.mark.parametrize(("trained", "layers"), [(1, [False, True]), (2, [True, True]), (8, [True, True])])
def test_more_layers_than_there_are_is_all_of_them(trained, layers):
    model = tiny_model()
    freeze_all_but(model, trained_layers=trained)
    weights = dict(model.named_parameters())
    assert [weights[f"model.layers.{layer}.self_attn.q_proj.weight"].requires_grad for layer in (0, 1)] == layers


def test_layers_are_found_whatever_they_are_called():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2))
    freeze_all_but(model, trained_layers=1)
    trained = {name.split(".")[2] for name, p in model.named_parameters() if p.requires_grad and ".h." in name}
    assert trained == {"2"}


def test_only_the_last_layers_are_trained():
    model = tiny_model()
    read_hidden_states(model)
    freeze_all_but(model, trained_layers=1)
    branch_loss(model, EXAMPLES, LossConfig(levels=("all", "chapter"))).backward()
    trained = {
        name.split(".")[2] if "layers" in name else name for name, p in model.named_parameters() if p.grad is not None
    }
    assert trained >= {"1", "verification.readouts", "verification.biases", "verification.log_first_pass_weight"}
    assert not trained & {"0", "model.embed_tokens.weight", "lm_head.weight"}
