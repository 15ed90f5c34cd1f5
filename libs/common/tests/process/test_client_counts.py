"""Counts by client."""

import pytest

from parley.process.client_counts import ClientCounts


def test_a_client_that_has_nothing_any_more_is_forgotten() -> None:
    counts = ClientCounts()
    counts.add("ada", 3)
    counts.add("bob")
    counts.subtract("ada", 2)
    assert (counts.of("ada"), counts.of("bob"), counts.of("eve"), counts.total) == (1, 1, 0, 2)
    counts.subtract("ada")
    assert set(counts._counts) == {"bob"}


def test_a_client_of_which_nothing_is_counted_is_not_remembered() -> None:
    counts = ClientCounts()
    counts.add("ada", 0)
    assert not counts._counts
    counts.subtract("ada", 0)


def test_a_count_ends_with_its_context_also_after_an_error() -> None:
    counts = ClientCounts()

    def fail() -> None:
        with counts.counted("ada", 5):
            assert counts.of("ada") == 5
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (counts.of("ada"), counts.total) == (0, 0)
