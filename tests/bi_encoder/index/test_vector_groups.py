"""Codes with several vectors: the best one counts, also through the funnel; files of one vector a code still open."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from bi_encoder.index.code_index import CodeIndex
from bi_encoder.index.vector_groups import VectorGroups

WIDTH = 12


def random_index(seed=0, codes=40, largest=6, **facts):
    """Between one and `largest` vectors for each code."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(codes), generator.integers(1, largest + 1, codes))
    names, texts = [f"C{number}" for number in range(codes)], [f"text {row}" for row in range(len(owner))]
    vectors = generator.normal(size=(len(owner), WIDTH)).astype(np.float32)
    return CodeIndex.build(vectors, names, "model-a", owner=owner, texts=texts, **facts), owner


def naive_scores(query, vectors, owner, num_codes):
    """One loop over all vectors, the best of each code."""
    best = [-np.inf] * num_codes
    for vector, code in zip(vectors, owner.tolist(), strict=True):
        cosine = float(query @ vector / np.linalg.norm(query) / np.linalg.norm(vector))
        best[code] = max(best[code], cosine)
    return np.array(best)


def test_a_code_scores_as_the_best_of_its_vectors():
    index, owner = random_index()
    queries = np.random.default_rng(1).normal(size=(5, WIDTH))
    columns, scores = index.search_columns(queries, k=9, first_pass_dim=WIDTH)
    for row, query in enumerate(queries):
        expected = naive_scores(query, index.embeddings, owner, 40)
        order = np.argsort(-expected, kind="stable")[:9]
        assert columns[row].tolist() == order.tolist()
        assert scores[row] == pytest.approx(expected[order], abs=1e-6)
    assert len({int(row[0]) for row in columns}) > 1


@pytest.mark.parametrize("threads", [1, 3])
def test_the_funnel_keeps_codes_and_compares_all_their_vectors(threads, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    index, owner = random_index(seed=2)
    queries = np.random.default_rng(3).normal(size=(5, WIDTH))
    columns, scores = index.search_columns(queries, k=4, first_pass_dim=4, candidates=11)
    missed = 0
    for row, query in enumerate(queries):
        short = naive_scores(query[:4], index.embeddings[:, :4], owner, 40)
        survivors = np.sort(np.argsort(-short, kind="stable")[:11])
        full = naive_scores(query, index.embeddings, owner, 40)
        best = survivors[np.argsort(-full[survivors], kind="stable")][:4]
        assert columns[row].tolist() == best.tolist()
        assert scores[row] == pytest.approx(full[best], abs=1e-6)
        missed += set(best) != set(np.argsort(-full)[:4])
    assert missed, "the funnel is narrow enough here that some query loses a code"


def test_one_vector_a_code_is_what_it_was():
    vectors = np.random.default_rng(4).normal(size=(30, WIDTH))
    names = [str(number) for number in range(30)]
    plain, grouped = CodeIndex.build(vectors, names), CodeIndex.build(vectors, names, owner=np.arange(30))
    queries = np.random.default_rng(5).normal(size=(3, WIDTH))
    for settings in ({"first_pass_dim": WIDTH}, {"first_pass_dim": 3, "candidates": 10}):
        for one, other in zip(
            plain.search_columns(queries, 5, **settings), grouped.search_columns(queries, 5, **settings), strict=True
        ):
            assert np.array_equal(one, other)


def test_more_vectors_of_a_code_never_lower_its_score():
    index, owner = random_index(seed=6)
    query = np.random.default_rng(7).normal(size=WIDTH)
    more = np.vstack([index.embeddings, np.random.default_rng(8).normal(size=(1, WIDTH))])
    grown = CodeIndex.build(more, index.codes, owner=np.append(owner, 39))
    before, after = (dict(zip(*(part[0].tolist() for part in which.search_columns(query[None], 40)), strict=True))
                     for which in (index, grown))  # fmt: skip
    assert all(after[column] >= before[column] - 1e-6 for column in range(40))
    assert [column for column in range(40) if after[column] > before[column] + 1e-6] in ([], [39])


def test_the_text_of_the_nearest_vector():
    index, owner = random_index(seed=9)
    query = np.random.default_rng(10).normal(size=WIDTH)
    columns = np.array([7, 3, 39])
    expected = []
    for column in columns.tolist():
        rows = [row for row, code in enumerate(owner.tolist()) if code == column]
        expected.append(f"text {max(rows, key=lambda row: float(index.embeddings[row] @ query))}")
    assert index.best_texts(query, columns) == expected
    with pytest.raises(ValueError, match="does not say which texts"):
        CodeIndex.build(np.ones((1, 2)), ["a"]).best_texts(np.ones(2), np.array([0]))


def test_round_trip_of_vectors_owners_texts_and_book(tmp_path):
    index, owner = random_index(seed=11, definitions=[f"tïtle {n}" for n in range(40)], book="abc", code_set="x leaves")
    index.save(tmp_path / "codes.safetensors")
    opened = CodeIndex.load(tmp_path / "codes.safetensors", model_fingerprint="model-a", codes=index.codes)
    assert np.array_equal(opened.embeddings, index.embeddings)
    assert np.array_equal(opened.groups.owner, owner)
    assert (opened.texts, opened.definitions) == (index.texts, index.definitions)
    assert (opened.book, opened.code_set) == ("abc", "x leaves")
    opened.check_book("abc")
    with pytest.raises(ValueError, match="built with code book abc, the search is to use no code book; name another"):
        opened.check_book("")


def test_a_file_of_one_vector_a_code_as_earlier_versions_wrote_it(tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    header = {"codes": json.dumps(["a", "b", "c"]), "model_fingerprint": "model-a", "code_set": ""}
    save_file({"embeddings": vectors}, tmp_path / "old.safetensors", metadata=header)
    opened = CodeIndex.load(tmp_path / "old.safetensors")
    assert opened.search(vectors[1:2], k=1)[0] == [["b"]]
    assert (opened.texts, opened.book) == (None, "")


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ([0, 2, 1], "lie together"),
        ([0, 0, 2], "1 of 3 codes have no vector"),
        ([0, 1, 3], "from 0 to 2, got 0 to 3"),
        ([0.0, 1.0, 2.0], "one integer"),
        ([0, 1], "embeddings have shape"),
    ],
)
def test_owners_that_fit_no_codes_are_refused(owner, message):
    with pytest.raises(ValueError, match=message):
        CodeIndex.build(np.ones((3, 2)), ["a", "b", "c"], owner=np.array(owner))


def test_texts_must_be_as_many_as_vectors():
    with pytest.raises(ValueError, match="2 texts for 3 vectors"):
        CodeIndex.build(np.ones((3, 2)), ["a", "b"], owner=np.array([0, 0, 1]), texts=["x", "y"])


def test_rows_of_codes_in_any_order_and_twice():
    groups = VectorGroups(np.array([0, 0, 1, 2, 2, 2]), 3)
    rows, begins = groups.rows_of(np.array([2, 0, 2]))
    assert rows.tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
    assert begins.tolist() == [0, 3, 5]
