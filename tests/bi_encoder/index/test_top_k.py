"""The fast top-k: equal to a stable sort, also where its sample of the row misleads it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bi_encoder.index.code_index import CodeIndex
from bi_encoder.index.first_pass import principal_directions, unit_rows
from bi_encoder.index.top_k import SAMPLE_STEP, in_parts, score_columns, top_k, top_k_columns


def by_sorting(scores, k):
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def check(scores, k):
    columns, values = top_k(scores, k)
    expected = by_sorting(scores, k)
    assert np.array_equal(columns, expected)
    assert np.array_equal(values, np.take_along_axis(scores, expected, axis=1))
    assert np.array_equal(top_k_columns(scores, k), np.sort(expected, axis=1))


@pytest.mark.parametrize("k", [1, 7, 100, 4999, 5000])
def test_equals_a_stable_sort(k):
    check(np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32), k)


@given(
    rows=st.integers(1, 3),
    columns=st.integers(1, 400),
    levels=st.integers(1, 5),
    k=st.integers(1, 400),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_of_equal_scores_the_first_columns_win(rows, columns, levels, k, seed):
    scores = np.random.default_rng(seed).integers(0, levels, (rows, columns)).astype(np.float32)
    check(scores, min(k, columns))


def test_a_sample_of_only_high_or_only_low_scores_does_not_mislead():
    for in_sample, elsewhere in ((1.0, 0.0), (0.0, 1.0)):
        scores = np.random.default_rng(1).random((2, 8000), dtype=np.float32) * 0.1 + np.float32(elsewhere)
        scores[:, ::SAMPLE_STEP] += np.float32(in_sample - elsewhere)
        check(scores, 900)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    generator = np.random.default_rng(3)
    check(generator.standard_normal((5, 3000)).astype(np.float32), 40)
    queries, keys = (generator.standard_normal((rows, 8)).astype(np.float32) for rows in (5, 30))
    columns = generator.integers(0, 30, (5, 7))
    expected = [[keys[column] @ query for column in row] for query, row in zip(queries, columns, strict=True)]
    assert score_columns(queries, keys, columns) == pytest.approx(np.array(expected), abs=1e-5)


def test_the_index_finds_the_same_through_it_as_by_sorting_all_cosines():
    generator = np.random.default_rng(2)
    embeddings = generator.standard_normal((6000, 24)).astype(np.float32)
    queries = generator.standard_normal((5, 24)).astype(np.float32)
    index = CodeIndex.build(embeddings, [str(number) for number in range(6000)])
    columns, _ = index.search_columns(queries, k=20, first_pass_dim=24)
    assert np.array_equal(columns, by_sorting(queries @ index.embeddings.T, 20))
    prefix = unit_rows(queries[:, :8]) @ unit_rows(index.embeddings[:, :8]).T
    survivors = np.sort(by_sorting(prefix, 300), axis=1)
    columns, scores = index.search_columns(queries, k=20, first_pass_dim=8, candidates=300)
    for row in range(5):
        cosines = index.embeddings[survivors[row]] @ (queries[row] / np.linalg.norm(queries[row]))
        assert columns[row].tolist() == survivors[row][np.argsort(-cosines, kind="stable")[:20]].tolist()
        assert scores[row] == pytest.approx(np.sort(cosines)[::-1][:20], abs=1e-6)


def near_a_plane(generator, rows, width=32, inner=6):
    """Rows that differ mostly in `inner` directions, none of them an axis, as embeddings do."""
    turned, _ = np.linalg.qr(generator.standard_normal((width, width)))
    scales = np.where(np.arange(width) < inner, 1.0, 0.05)
    return ((generator.standard_normal((rows, width)) * scales) @ turned).astype(np.float32)


@pytest.mark.parametrize("native", [False, True])
def test_principal_directions_find_what_prefixes_of_the_same_width_do_not(native, monkeypatch):
    monkeypatch.setattr("bi_encoder.index.first_pass.multiplies_bfloat16", lambda: native)
    rows = near_a_plane(np.random.default_rng(4), 4040)
    index, queries = CodeIndex.build(rows[40:], [str(number) for number in range(4000)]), rows[:40]
    exact, _ = index.search_columns(queries, k=10, first_pass_dim=32)

    def recall(kind):
        found, _ = index.search_columns(queries, k=10, first_pass_dim=6, candidates=100, first_pass=kind)
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)])

    assert recall("principal") > 0.95 > recall("prefix")
    directions = principal_directions(index.embeddings, 6)
    assert directions.T @ directions == pytest.approx(np.eye(6), abs=1e-5)
    with pytest.raises(ValueError, match="by prefix or principal, got 'random'"):
        index.search_columns(queries, k=10, first_pass_dim=6, candidates=100, first_pass="random")


def test_an_opened_index_is_on_disk_not_in_memory(tmp_path):
    CodeIndex.build(np.random.default_rng(0).standard_normal((500, 8)), [str(n) for n in range(500)]).save(
        tmp_path / "i"
    )
    opened = CodeIndex.load(tmp_path / "i")
    maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path / "i") in line]
    assert maps, "the file is mapped into memory"
    assert opened.search(opened.embeddings[:2], k=1)[0] == [["0"], ["1"]]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_work_in_parts_is_the_work_on_the_whole_and_leaves_the_threads_as_they_were(threads):
    rows = np.random.default_rng(0).normal(size=(7, 40)).astype(np.float32)
    before, seen = torch.get_num_threads(), []

    def work(part):
        seen.append((len(part), torch.get_num_threads()))
        return top_k(part, 5)

    torch.set_num_threads(threads)
    try:
        columns, values = in_parts(work, rows)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(columns, top_k(rows, 5)[0])
    np.testing.assert_array_equal(values, top_k(rows, 5)[1])
    assert sorted(size for size, _ in seen) == sorted(len(part) for part in np.array_split(rows, threads))
    assert {inside for _, inside in seen} == {1}
