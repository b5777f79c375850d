"""One piece ahead of its user."""

import threading

import pytest

from data.table_files.csv_stream import one_ahead


def test_items_come_in_their_order_and_none_is_lost():
    assert list(one_ahead(range(1000))) == list(range(1000))
    assert list(one_ahead([])) == []
    assert list(one_ahead([None, None])) == [None, None]


def test_the_next_item_is_made_while_the_last_one_is_used():
    made = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert made[1].wait(timeout=60), "nobody asked for it, and it was made"
    assert not made[2].is_set(), "no more than one ahead"
    assert list(ahead) == [1, 2]


def test_an_error_comes_when_it_is_its_turn():
    def items():
        yield 1
        raise ValueError("damaged")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(ahead)


def test_whoever_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    ahead = one_ahead(range(10))
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
