"""Filters match the names that a binding of a subscriber matches."""

import itertools
import re

import pytest

from parley_events.routing import matches
from webhooks.endpoints.event_filters import is_filter, to_pattern

NAMES = ("a", "b", "a.b", "a.b.c", "b.a", "a.a", "a.b.c.d")


def test_a_filter_matches_like_a_binding() -> None:
    filters = [".".join(words) for n in (1, 2, 3) for words in itertools.product("ab*#", repeat=n)]
    for text, name in itertools.product(filters, NAMES):
        assert bool(re.search(to_pattern(text), f".{name}")) == matches(text, name), (text, name)


@pytest.mark.parametrize(
    "text", ["", "a..b", "A", "a.", ".a", "a.(b|c)", "a-b", "a.b*", "###", "a.b.c.d.e.f.g", "a" * 101]
)
def test_what_is_not_a_filter_is_refused(text: str) -> None:
    assert not is_filter(text)
