"""Text of completion chunks that repeat an earlier chunk except for their text, without parsing all of it again."""

import re
from typing import Any

import orjson

from chat.providers.parsing.sse_parser import EVENT_END, EVENT_START

MAX_MISSES = 4
"""Consecutive chunks that do not match a template until no more are learned: chunks of some servers all differ."""
_TEXT = re.compile(rb'"content":[ ]?("(?:[^"\\]|\\.)*")', re.DOTALL)
_PROBES = ("", 'a"\\')


class ChunkTemplate:
    """The bytes before and after the text of a chunk, and of the event whose data is the chunk.

    A chunk with the same bytes around a JSON string is the same document with another text, so its text is read alone.
    """

    __slots__ = ("_event_prefix", "_event_suffix", "_misses", "_prefix", "_suffix")

    def __init__(self) -> None:
        self._prefix = self._suffix = self._event_prefix = self._event_suffix = b""
        self._misses = 0

    def text_of(self, data: bytes) -> str | None:
        """Return the text of a chunk that matches, else None."""
        return self._text_between(self._prefix, data, self._suffix)

    def text_of_event(self, received: bytes) -> str | None:
        """Return the text of a chunk that matches if it is the data of the one event in these bytes, else None."""
        return self._text_between(self._event_prefix, received, self._event_suffix)

    def _text_between(self, prefix: bytes, data: bytes, suffix: bytes) -> str | None:
        if not (prefix and data.startswith(prefix) and data.endswith(suffix)):
            return None
        value = data[len(prefix) : len(data) - len(suffix)]
        if not (value.startswith(b'"') and value.endswith(b'"')):
            return None
        try:
            text: str = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        self._misses = 0
        return text

    def learn(self, data: bytes, document: Any) -> None:
        """Learn from a chunk that did not match, if it consists of a text of the first choice and nothing else."""
        if self._misses >= MAX_MISSES:
            return
        self._misses += 1
        if not _is_text_only(document):
            return
        found = _TEXT.search(data)
        if found is None:
            return
        prefix, suffix = data[: found.start(1)], data[found.end(1) :]
        delta = document["choices"][0]["delta"]
        for probe in (delta["content"], *_PROBES):
            delta["content"] = probe
            try:
                if orjson.loads(prefix + orjson.dumps(probe) + suffix) != document:
                    return
            except (orjson.JSONEncodeError, orjson.JSONDecodeError, RecursionError):
                return
        self._prefix, self._suffix = prefix, suffix
        one_line = b"\n" not in data
        self._event_prefix = EVENT_START + prefix if one_line else b""
        self._event_suffix = suffix + EVENT_END


def _is_text_only(document: Any) -> bool:
    """Tell whether a chunk has one choice with a text, and nothing else that a parser would act on."""
    if not isinstance(document, dict) or document.get("error") or document.get("usage"):
        return False
    choices = document.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return False
    choice, delta = choices[0], choices[0].get("delta")
    return (
        choice.get("index", 0) in (0, "0")
        and choice.get("finish_reason") is None
        and "error" not in choice
        and not choice.get("logprobs")
        and not choice.get("usage")
        and isinstance(delta, dict)
        and list(delta) == ["content"]
        and isinstance(delta["content"], str)
    )
