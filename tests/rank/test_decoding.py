"""The autoregressive decoder, and that ranking gives what scoring every candidate by itself would."""

import numpy as np
import pytest
import torch
from naive_decoding import BONUS_AND_EOV, CANDIDATES, EOV_ID, PAD_ID, PROMPTS, decode_naively, rule
from transformers import MistralConfig, MistralForCausalLM

from rank.candidate_head import read_candidates_only, score_prompts
from rank.decoding import decode, scores_of_decoded


def tiny_model(sliding_window=None):
    torch.manual_seed(3)
    config = MistralConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=sliding_window,
    )
    model = MistralForCausalLM(config).eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.5)
    return model


@pytest.mark.parametrize("gate", [1.0, 0.6])
@pytest.mark.parametrize("sliding_window", [None, 4])
@pytest.mark.parametrize(("offset", "max_codes"), [(0.0, 12), (1.5, 12), (-9.0, 5), (-99.0, 40), (99.0, 12)])
def test_decoding_with_a_cache_equals_the_naive_loop(offset, max_codes, sliding_window, gate):
    plain, model = tiny_model(sliding_window), tiny_model(sliding_window)
    read_candidates_only(model, CANDIDATES, EOV_ID)
    written, first = decode(model, PROMPTS, BONUS_AND_EOV, CANDIDATES, rule(offset), PAD_ID, max_codes, gate)
    for index, prompt in enumerate(PROMPTS):
        expected, expected_first = decode_naively(plain, prompt, BONUS_AND_EOV[index], offset, min(max_codes, 12), gate)
        assert written[index] == expected
        np.testing.assert_allclose(first[index], expected_first, rtol=1e-4, atol=1e-5)


def test_patients_end_at_different_lengths():
    model = tiny_model()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    written, _ = decode(model, PROMPTS, BONUS_AND_EOV, CANDIDATES, rule(1.5), PAD_ID, 12)
    assert len({len(columns) for columns in written}) > 1


def test_written_codes_rank_first_and_are_the_predicted_ones():
    first = np.array([[0.1, 3.0, 2.0, -1.0], [5.0, 4.0, 3.0, 2.0]], dtype=np.float32)
    scores, thresholds = scores_of_decoded([[3, 0], []], first)
    assert np.argsort(-scores, axis=1).tolist() == [[3, 0, 1, 2], [0, 1, 2, 3]]
    assert (scores > thresholds[:, None]).tolist() == [[True, False, False, True], [False] * 4]


@torch.no_grad()
def test_ranking_is_what_scoring_each_candidate_separately_gives():
    """log p(candidate | prompt), each from a forward pass of its own over the full vocabulary."""
    plain, model = tiny_model(), tiny_model()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    scores, eov = score_prompts(model, PROMPTS, PAD_ID, batch_size=2)
    for index, prompt in enumerate(PROMPTS):
        separate = []
        for token in [*CANDIDATES.tolist(), EOV_ID]:
            ids = torch.tensor([[*prompt, token]])
            log_probs = plain(input_ids=ids).logits[0, -2].log_softmax(dim=-1)
            separate.append(log_probs[token].item())
        ours = np.append(scores[index], eov[index])
        assert np.argsort(-ours).tolist() == np.argsort(-np.array(separate)).tolist()
        differences = ours - np.array(separate)
        np.testing.assert_allclose(differences, differences[0], rtol=0, atol=1e-5)
