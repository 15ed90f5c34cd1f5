"""Matching of routing keys against topic bindings, as in AMQP 0-9-1."""

from functools import lru_cache

ALL_EVENTS = "#"
"""The binding that matches every routing key."""


@lru_cache(maxsize=4096)
def matches(binding: str, key: str) -> bool:
    """Return whether a binding matches a routing key: ``*`` stands for one word, ``#`` for any number of words."""
    return _match(binding.split("."), key.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_match(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and head in {"*", words[0]} and _match(rest, words[1:])
