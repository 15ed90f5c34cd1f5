"""Filters of event names, with the wildcards of subscriptions: ``*`` is one word, ``#`` any number of words."""

import re

MAX_FILTERS = 20
MAX_FILTER_LENGTH = 100
_FILTER = re.compile(r"(?:[a-z][a-z0-9_]*|\*|#)(?:\.(?:[a-z][a-z0-9_]*|\*|#)){0,5}\Z")
_WORD = "[a-z0-9_]+"


def is_filter(text: str) -> bool:
    """Return whether the text is a filter: up to six words, separated by dots."""
    return len(text) <= MAX_FILTER_LENGTH and _FILTER.match(text) is not None


def to_pattern(text: str) -> str:
    """Return a regular expression of PostgreSQL that matches a dot and an event name if the filter does."""
    words = {"#": f"([.]{_WORD})*", "*": f"[.]{_WORD}"}
    return f"^{''.join(words.get(word, f'[.]{word}') for word in text.split('.'))}$"
