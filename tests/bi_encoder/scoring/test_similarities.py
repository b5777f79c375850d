"""Several vectors of a code: the best of them, their mean, and which are scored again."""

import itertools

import pytest
import torch
from small_encoder import make_encoder
from torch.nn.functional import normalize

from bi_encoder.evidence.attended_spans import evidence_spans
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.predict import embed_texts, embed_windows, score_texts
from bi_encoder.scoring.similarities import (
    CodeVectors,
    best_of_codes,
    best_vectors,
    mean_of_codes,
    vectors_by_code,
)
from bi_encoder.start import build_bi_encoder

OWNER = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3, 3])
NAMES = [
    *("Heart failure, unspecified", "cardiac failure", "congestive heart failure"),
    "Anemia",
    *("Gout, chronic", "podagra"),
    *("Cough", "tussis", "dry cough", "coughing fits"),
]
NOTES = ["72 year old with heart failure and anemia, no fever.", "Dry cough for a week.", "Gout. Heart failure."]


def vectors_of(code):
    return [vector for vector, owner in enumerate(OWNER.tolist()) if owner == code]


@pytest.fixture(scope="module")
def model():
    return build_bi_encoder(make_encoder([*NAMES, *NOTES]), "laa_mrl", 0.1).eval()


def test_the_best_and_the_mean_of_a_codes_vectors():
    scores, embeddings = torch.randn(4, len(OWNER)), torch.randn(len(OWNER), 6) * torch.rand(len(OWNER), 1)
    best, mean = best_of_codes(scores, OWNER), mean_of_codes(embeddings, OWNER)
    for code in range(4):
        for row in range(4):
            assert best[row, code] == max(scores[row, vector] for vector in vectors_of(code))
        unit = [embeddings[vector] / embeddings[vector].norm() for vector in vectors_of(code)]
        assert torch.allclose(mean[code], sum(unit) / len(unit), atol=1e-6)
    assert torch.equal(best_of_codes(scores, torch.arange(len(OWNER))), scores)


def test_the_vectors_of_each_code_filled_up():
    assert vectors_by_code(OWNER).tolist() == [[0, 1, 2, -1], [3, -1, -1, -1], [4, 5, -1, -1], [6, 7, 8, 9]]


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_the_best_vectors_of_codes_are_those_that_sorting_finds(most):
    torch.manual_seed(most)
    scores, codes = torch.randn(3, len(OWNER)), torch.tensor([[3, 0], [1, 2], [2, 3]])
    best = best_vectors(scores, OWNER, codes, most)
    assert best.shape == (3, 2, min(most, 4))
    for row, place in itertools.product(range(3), range(2)):
        of_code = sorted(vectors_of(int(codes[row, place])), key=lambda vector: -float(scores[row, vector]))[:most]
        chosen = best[row, place].tolist()
        assert chosen[: len(of_code)] == of_code
        assert set(chosen[len(of_code) :]) <= {of_code[0]}, "a code with fewer has its best again"


def test_vectors_of_some_codes_are_numbered_anew():
    vectors = CodeVectors(embeddings=torch.randn(len(OWNER), 5), owner=OWNER)
    some = vectors.of_codes([2, 0])
    assert some.owner.tolist() == [0, 0, 1, 1, 1]
    assert torch.equal(some.embeddings, vectors.embeddings[[4, 5, 0, 1, 2]])
    assert (vectors.num_codes, vectors.is_one_each, vectors.mean_of_each().is_one_each) == (4, False, True)


@pytest.mark.parametrize(("width", "weight"), [(8, 0.0), (32, 0.0), (32, 0.3), (32, 1.0)])
def test_scores_of_several_vectors_are_those_of_a_loop_over_codes(model, width, weight):
    texts, keys = tokenize_windows(model.tokenizer, NOTES, 64, 16), embed_texts(model, NAMES, 16)
    settings = {"widths": [width], "temperature": 0.05, "overlap": 16}
    scores = score_texts(model, texts, keys, owner=OWNER, definition_weight=weight, **settings)[width]
    alone = score_texts(model, texts, keys, **settings)[width]
    for row, code in itertools.product(range(len(NOTES)), range(4)):
        of_code = [alone[row, vector] for vector in vectors_of(code)]
        assert scores[row, code] == pytest.approx(weight * of_code[0] + (1 - weight) * max(of_code), abs=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_a_rerank_attends_the_best_vectors_of_the_best_codes(model, weight):
    texts, keys = tokenize_windows(model.tokenizer, NOTES, 64, 16), embed_texts(model, NAMES, 16)
    settings = {"widths": [32], "temperature": 1.0, "overlap": 16}
    attended = score_texts(model, texts, keys, **settings)[32]
    first = normalize(embed_windows(model, texts, 16), dim=-1) @ normalize(keys, dim=-1).T
    for views in (1, 2):
        several = {"owner": OWNER, "rerank": 2, "rerank_views": views, "definition_weight": weight}
        scores = score_texts(model, texts, keys, **several, **settings)[32]
        for row in range(len(NOTES)):
            of_code = [sorted(vectors_of(code), key=lambda vector: -float(first[row, vector])) for code in range(4)]
            mixed = [weight * first[row, min(vectors)] + (1 - weight) * first[row, vectors[0]] for vectors in of_code]
            order = sorted(range(4), key=lambda code: -float(mixed[code]))
            for code in order[:2]:
                definition = attended[row, min(of_code[code])]
                also = [definition] if weight else []
                best = max([attended[row, vector] for vector in of_code[code][:views]] + also)
                expected = weight * definition + (1 - weight) * best
                assert scores[row, code] == pytest.approx(expected, abs=1e-4)
            assert scores[row, order[2]] < min(scores[row, order[:2]])
            assert scores[row, order[3]] <= scores[row, order[2]]


def test_evidence_is_that_of_the_vector_that_scores_best(model):
    keys = embed_texts(model, NAMES, 16)
    query = QueryText(text=NOTES[0], note_start=0)
    texts = tokenize_windows(model.tokenizer, NOTES[:1], 64, 16)
    alone = score_texts(model, texts, keys, widths=[32], temperature=1.0, overlap=16)[32][0]
    best = [max(vectors_of(code), key=lambda vector: alone[vector]) for code in range(4)]
    several = evidence_spans(model, query, keys, max_tokens=64, overlap=16, owner=OWNER)
    assert several == evidence_spans(model, query, keys[best], max_tokens=64, overlap=16)
