"""Metrics and labels that a PromQL expression reads."""

import re
from collections.abc import Iterator

KEYWORDS = frozenset({"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"})
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGE = re.compile(r"\[[^]]*\]")
_SELECTOR = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(\s*\{[^}]*\})?(?!\s*\(|[\w:])")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def selectors(expression: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the name of each metric in the expression with the labels of its selector."""
    plain = _RANGE.sub("", _GROUPING.sub("", _STRING.sub('""', expression)))
    for found in _SELECTOR.finditer(plain):
        if found[1] not in KEYWORDS:
            yield found[1], frozenset(_LABEL.findall(found[2] or ""))
