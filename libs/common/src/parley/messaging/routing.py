"""How topic bindings match routing keys, after AMQP 0-9-1."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def matches(binding: str, key: str) -> bool:
    """Say whether a routing key matches a binding: ``*`` stands for one word, ``#`` for any number."""
    return _match(binding.split("."), key.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_match(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and head in {"*", words[0]} and _match(rest, words[1:])
