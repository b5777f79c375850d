"""The code index: exact, saved with its codes and its model, and refusing others."""

import numpy as np
import pytest

from bi_encoder.index.code_index import CodeIndex


def random_index(codes=50, width=16, seed=0):
    rng = np.random.default_rng(seed)
    return CodeIndex.build(rng.normal(size=(codes, width)), [f"C{number}" for number in range(codes)], "model-a")


def cosines(queries, embeddings):
    return np.array([[q @ e / np.linalg.norm(q) / np.linalg.norm(e) for e in embeddings] for q in queries])


def test_full_search_equals_sorting_all_cosines():
    index = random_index()
    queries = np.random.default_rng(1).normal(size=(3, 16))
    codes, scores = index.search(queries, k=7)
    expected = cosines(queries, index.embeddings)
    for row in range(3):
        order = np.argsort(-expected[row])[:7]
        assert codes[row] == [f"C{column}" for column in order]
        assert scores[row] == pytest.approx(expected[row, order], abs=1e-6)


def test_funnel_keeps_the_first_pass_and_ranks_it_at_full_width():
    index = random_index()
    queries = np.random.default_rng(1).normal(size=(4, 16))
    codes, scores = index.search(queries, k=5, first_pass_dim=4, candidates=20)
    prefix, full = cosines(queries[:, :4], index.embeddings[:, :4]), cosines(queries, index.embeddings)
    for row in range(4):
        survivors = np.argsort(-prefix[row])[:20]
        best = survivors[np.argsort(-full[row, survivors])][:5]
        assert codes[row] == [f"C{column}" for column in best]
        assert scores[row] == pytest.approx(full[row, best], abs=1e-6)


def test_k_beyond_the_index_returns_every_code():
    codes, scores = random_index(codes=6).search(np.ones((1, 16)), k=100)
    assert sorted(codes[0]) == [f"C{number}" for number in range(6)]
    assert (np.diff(scores[0]) <= 0).all()


def test_equal_scores_keep_column_order():
    index = CodeIndex.build(np.ones((4, 2)), ["d", "a", "c", "b"])
    assert index.search(np.ones((1, 2)), k=4)[0] == [["d", "a", "c", "b"]]


def test_round_trip(tmp_path):
    index = random_index()
    index.save(tmp_path / "index" / "codes.safetensors")
    opened = CodeIndex.load(tmp_path / "index" / "codes.safetensors", model_fingerprint="model-a", codes=index.codes)
    assert np.array_equal(opened.embeddings, index.embeddings)
    assert opened.codes == index.codes


def test_refuses_another_model_another_code_set_and_another_width(tmp_path):
    index = random_index()
    index.save(tmp_path / "codes.safetensors")
    with pytest.raises(ValueError, match="built by model model-a, the query comes from model model-b"):
        CodeIndex.load(tmp_path / "codes.safetensors", model_fingerprint="model-b")
    with pytest.raises(ValueError, match="holds 50 codes, the task has 2 candidates, and 50 are in only one"):
        CodeIndex.load(tmp_path / "codes.safetensors", codes=["C0", "X"])
    with pytest.raises(ValueError, match="order differs"):
        index.check_codes(index.codes[::-1])
    with pytest.raises(ValueError, match="the index is 16 wide"):
        index.search(np.ones((1, 8)), k=3)
    with pytest.raises(FileNotFoundError, match="no code index"):
        CodeIndex.load(tmp_path / "missing.safetensors")


def test_refuses_embeddings_that_cannot_be_an_index():
    with pytest.raises(ValueError, match="shape"):
        CodeIndex.build(np.ones((3, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="distinct"):
        CodeIndex.build(np.ones((2, 2)), ["a", "a"])
    with pytest.raises(ValueError, match="zero or not finite"):
        CodeIndex.build(np.array([[1.0, 0.0], [0.0, 0.0]]), ["a", "b"])
