"""Routing keys against topic bindings, with the examples of AMQP 0-9-1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_events.routing import matches

words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)


@pytest.mark.parametrize(
    ("binding", "key", "expected"),
    [
        ("user.erased", "user.erased", True),
        ("user.erased", "user.updated", False),
        ("user.*", "user.erased", True),
        ("user.*", "user", False),
        ("user.*", "user.erasure.confirmed", False),
        ("*.turn.*", "conversation.turn.completed", True),
        ("conversation.#", "conversation", True),
        ("conversation.#", "conversation.turn.completed", True),
        ("#.completed", "conversation.turn.completed", True),
        ("#.turn.#", "conversation.turn.completed", True),
        ("#", "anything.at.all", True),
    ],
)
def test_a_binding_matches_as_in_amqp(binding: str, key: str, expected: bool) -> None:
    assert matches(binding, key) is expected


@given(words, words)
def test_a_binding_without_wildcards_matches_only_itself(binding: list[str], key: list[str]) -> None:
    assert matches(".".join(binding), ".".join(key)) is (binding == key)


@given(words, words, words)
def test_a_hash_stands_for_any_number_of_words(before: list[str], between: list[str], after: list[str]) -> None:
    assert matches(".".join([*before, "#", *after]), ".".join([*before, *between, *after]))
