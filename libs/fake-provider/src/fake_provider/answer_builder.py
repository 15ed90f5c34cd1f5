"""Answers of the model: numbered words, an echo of the question, a given text, or tool calls."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from fake_provider.knobs import MAX_TOKENS, Knobs

WORD = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")
TEXT_ROLE = b'{"role":"assistant","content":"","refusal":null}'
TOOL_ROLE = b'{"role":"assistant","content":null}'


class ModelAnswer(Protocol):
    """A finite sequence of tokens, numbered from 1, that is rendered in parts."""

    total: int
    finish_reason: str
    role_delta: bytes

    def delta(self, start: int, end: int) -> bytes:
        """Render the tokens `start + 1` to `end` as the JSON of a delta."""
        ...

    def message(self) -> dict[str, Any]:
        """Return the whole answer as the message of a completion."""
        ...


class NumberedAnswer:
    """`t1 t2 t3 …`: a missing or repeated token is visible in every copy of the text."""

    role_delta = TEXT_ROLE

    def __init__(self, total: int, finish_reason: str) -> None:
        self.total = total
        self.finish_reason = finish_reason

    def delta(self, start: int, end: int) -> bytes:
        return b'{"content":"%s"}' % self._text(start, end).encode()

    def message(self) -> dict[str, Any]:
        return {"role": "assistant", "content": self._text(0, self.total), "refusal": None}

    @staticmethod
    def _text(start: int, end: int) -> str:
        text = " ".join([f"t{number}" for number in range(start + 1, end + 1)])
        return f" {text}" if start else text


class WordsAnswer:
    """A given text, split into words that keep their white space."""

    role_delta = TEXT_ROLE

    def __init__(self, words: Sequence[str], finish_reason: str) -> None:
        self._words = words
        self.total = len(words)
        self.finish_reason = finish_reason

    def delta(self, start: int, end: int) -> bytes:
        return b'{"content":%s}' % orjson.dumps("".join(self._words[start:end]))

    def message(self) -> dict[str, Any]:
        return {"role": "assistant", "content": "".join(self._words), "refusal": None}


class ToolCallAnswer:
    """Tool calls with the arguments `{"n":1}`, `{"n":2}` …; each call counts as one token."""

    role_delta = TOOL_ROLE

    def __init__(self, names: Sequence[str], finish_reason: str) -> None:
        self._names = names
        self.total = len(names)
        self.finish_reason = finish_reason

    def delta(self, start: int, end: int) -> bytes:
        return orjson.dumps({"tool_calls": [{"index": at, **self._call(at)} for at in range(start, end)]})

    def message(self) -> dict[str, Any]:
        calls = [self._call(at) for at in range(self.total)]
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}

    def _call(self, at: int) -> dict[str, Any]:
        function = {"name": self._names[at], "arguments": f'{{"n":{at + 1}}}'}
        return {"id": f"call_{at + 1}", "type": "function", "function": function}


def build_answer(
    knobs: Knobs,
    *,
    question: str,
    limit: int | None,
    tools: Sequence[dict[str, Any]],
    required_call: str | None = None,
) -> ModelAnswer:
    """Return the answer that the knobs select. `limit` is the maximum number of tokens of text.

    `required_call` is the function that must be called, empty for any.
    """
    if required_call is not None and not knobs.tool_calls:
        return ToolCallAnswer([required_call or _tool_names(tools, 1)[0]], knobs.finish_reason or "tool_calls")
    if knobs.tool_calls:
        return ToolCallAnswer(_tool_names(tools, knobs.tool_calls), knobs.finish_reason or "tool_calls")
    if knobs.endless:
        return NumberedAnswer(MAX_TOKENS, knobs.finish_reason or "length")
    if knobs.text is None and knobs.mode == "numbered":
        total, reason = _limited(knobs.tokens, limit)
        return NumberedAnswer(total, knobs.finish_reason or reason)
    words = WORD.findall(question if knobs.text is None else knobs.text)
    total, reason = _limited(len(words), limit)
    return WordsAnswer(words[:total], knobs.finish_reason or reason)


def _limited(length: int, limit: int | None) -> tuple[int, str]:
    return (length, "stop") if limit is None or length <= limit else (limit, "length")


def _tool_names(tools: Sequence[dict[str, Any]], count: int) -> list[str]:
    functions = [tool["function"] for tool in tools if isinstance(tool.get("function"), dict)]
    names = [str(function["name"]) for function in functions if "name" in function] or ["fake_tool"]
    return [names[at % len(names)] for at in range(count)]
