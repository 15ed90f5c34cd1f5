"""Parser of completion chunks and whole completions. Its output contains only text that Postgres can store."""

from collections.abc import Iterable, Sequence
from typing import Any

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.providers.failures import AttemptFailed, reported_failure
from chat.providers.parsing import lenient_json
from chat.providers.parsing.call_order import CallOrder
from chat.providers.parsing.chunk_template import ChunkTemplate
from chat.providers.parsing.content import reasoning_of, text_of
from chat.providers.parsing.lenient_json import MalformedJson
from chat.providers.parsing.logprobs import LogprobParser
from chat.providers.parsing.reported_usage import parse_usage
from chat.providers.parsing.sse_parser import MAX_LINE
from chat.providers.parsing.text_sanitizing import TextJoiner, storable
from chat.providers.parsing.tool_call_parser import LEGACY_INDEX, ToolCallParser

MAX_MODEL_LENGTH = 100
_FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
}
"""Finish reasons of several servers. Any other one means ``stop``."""
_WHOLE = frozenset({"stop", "tool_calls"})
"""Finish reasons of answers that the model has finished."""
_FAILED_REASONS = frozenset({"error", "abort", "aborted", "network_error", "insufficient_system_resource"})


class ChunkParser:
    """Parser of one answer: JSON in, answer chunks out. What is not part of the answer is ignored.

    ``failure`` is an error that the provider reported. ``damaged`` means that a part of the answer is lost, ``ended``
    that no event follows. ``wants_logprobs`` keeps the log probabilities of tokens.
    """

    event_names = frozenset({b"", b"message", b"error", b"chat.completion.chunk"})
    """Names of events that are part of an answer."""

    def __init__(self) -> None:
        self.failure: AttemptFailed | None = None
        self.damaged = self.begun = self.ended = False
        self.finish_reason: str | None = None
        self.wants_logprobs = False
        self._logprobs = LogprobParser()
        self._text, self._reasoning, self._calls = TextJoiner(), TextJoiner(), ToolCallParser()
        self._order = CallOrder()
        self._held_usage: AnswerChunk | None = None
        self._template = ChunkTemplate()

    def parse(self, data: bytes, *, error: bool = False) -> list[AnswerChunk]:
        """Return the answer chunks of one event; ``error`` if the event has that name."""
        if not error and self._held_usage is None:
            text = self._template.text_of(data)
            if text is not None:  # most chunks
                return self._entries(self._text.add(text))
        try:
            document = lenient_json.loads(data)
            found = self.add(document, error=error)
        except (MalformedJson, RecursionError):
            lines = data.split(b"\n")
        else:
            self._template.learn(data, document)
            return found
        if len(lines) > 1:  # several events without a blank line between them
            return [chunk for line in lines for chunk in self.parse(line, error=error)]
        if error:
            return self.add({"error": data.decode("utf-8", "replace")}, error=True)
        # Other text than half an object was never a chunk.
        self.damaged = self.damaged or (data.lstrip().startswith(b"{") and self.finish_reason is None)
        return []

    def repeated(self, received: bytes) -> list[AnswerChunk] | None:
        """Return the answer chunks of received bytes that are one event with one more text, as most are, else None.

        No part of an event may have come before them.
        """
        if self._held_usage is not None or self.finish_reason is not None or len(received) > MAX_LINE:
            return None
        text = self._template.text_of_event(received)
        return None if text is None else self._entries(self._text.add(text))

    def add(self, document: Any, *, error: bool = False) -> list[AnswerChunk]:
        """Return the answer chunks of a decoded chunk or completion."""
        if not isinstance(document, dict):
            document = {"error": document} if error else {}
        choices = document.get("choices")
        if (error or not choices or document.get("error")) and self._report(reported_failure(document, named=error)):
            return []
        found: list[AnswerChunk] = []
        usage = document.get("usage")
        if isinstance(choices, list):
            for position, choice in enumerate(choices):
                # Only the first choice is asked for.
                if isinstance(choice, dict) and _index(choice, position) == 0:
                    found += self._choice(choice)
                    usage = usage or choice.get("usage")  # where Moonshot has it
        if self._held_usage is not None or usage:
            self._add_usage(found, usage, document.get("model"))
        return found

    def finish(self, reason: str | None = None) -> list[AnswerChunk]:
        """Return the chunks that were held back, and the finish reason if there was none yet."""
        # Only now: servers that send a finish reason in every chunk send arguments after it.
        calls = self._calls.finish(cut=(self.finish_reason or reason) not in _WHOLE)
        found = self._rest(calls) + [AnswerChunk(entry) for entry in self._order.rest()]
        if self.wants_logprobs:
            found = self._with_logprobs(found, ended=True)
        if reason is not None and self.finish_reason is None:
            found.append(self._finish_chunk(reason))
        if self._held_usage is not None:
            found.append(self._held_usage)
            self._held_usage = None
        return found

    def _choice(self, choice: dict[str, Any]) -> list[AnswerChunk]:
        found: list[AnswerChunk] = []
        message = self._message(choice)
        if message is not None and len(message) == 1 and isinstance(text := message.get("content"), str):
            found = self._entries(self._text.add(text))  # nearly all chunks
        elif message is not None:
            thought = reasoning_of(message)
            found = self._reasoning_entries(self._reasoning.add(thought)) if thought else []
            found += self._entries(self._text.add(text_of(message)), self._tool_calls(message))
        if self.wants_logprobs:
            self._logprobs.add(choice.get("logprobs"))
            found = self._with_logprobs(found)
        given = choice.get("finish_reason")
        if given is None and "error" not in choice:
            return found
        reason = given.lower() if isinstance(given, str) else ""
        if choice.get("error") or reason in _FAILED_REASONS:
            self._report(reported_failure(choice, named=True))
        elif reason:
            reason = _FINISH_REASONS.get(reason, "stop")
            found += self._rest()
            found.append(self._finish_chunk(reason))
        return found

    def _with_logprobs(self, chunks: list[AnswerChunk], *, ended: bool = False) -> list[AnswerChunk]:
        """Return chunks whose first text has the log probabilities so far. Without a text, they wait for one."""
        for position, chunk in enumerate(chunks):
            if chunk.entry is not None and chunk.entry.text:
                entry = chunk.entry._replace(logprobs=self._logprobs.take())
                return [*chunks[:position], chunk._replace(entry=entry), *chunks[position + 1 :]]
        logprobs = self._logprobs.take() if ended and self.begun else ""
        return [*chunks, AnswerChunk(LogEntry(logprobs=logprobs))] if logprobs else chunks

    def _message(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        if "delta" in choice:
            message = choice["delta"]
        elif self.begun:
            # Some servers repeat the whole answer in the last chunk.
            return None
        else:
            message = choice.get("message", {"content": choice.get("text")})
        if isinstance(message, str | list):
            return {"content": message}
        return message if isinstance(message, dict) else None

    def _tool_calls(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        if calls := message.get("tool_calls"):
            return self._calls.add(calls)
        legacy = message.get("function_call")
        return self._calls.add(legacy, index=LEGACY_INDEX) if legacy else []

    def _rest(self, calls: Sequence[dict[str, Any]] = ()) -> list[AnswerChunk]:
        """Return what was held back of the texts, and the calls."""
        return self._reasoning_entries(self._reasoning.rest()) + self._entries(self._text.rest(), calls)

    def _reasoning_entries(self, text: str) -> list[AnswerChunk]:
        self.begun = self.begun or bool(text)
        return [AnswerChunk(entry) for entry in self._order.add(LogEntry(reasoning=text))] if text else []

    def _entries(self, text: str, calls: Sequence[dict[str, Any]] = ()) -> list[AnswerChunk]:
        if not (calls or self._order.open is not None):  # nearly all
            if text:
                self.begun = True
            return [AnswerChunk(LogEntry(text))] if text else []
        self.begun = True
        entries = self._order.add(LogEntry(text)) if text else []
        return [AnswerChunk(entry) for entry in (*entries, *self._order.add_calls(calls))]

    def _finish_chunk(self, reason: str) -> AnswerChunk:
        if reason in _WHOLE:
            # Some servers send `stop` in every chunk, or after another reason.
            reason = "tool_calls" if self._calls.found else "stop"
            if self.finish_reason in {"length", "content_filter"}:
                reason = self.finish_reason
        self.finish_reason = reason
        return AnswerChunk(finish_reason=reason)

    def _report(self, failure: AttemptFailed | None) -> bool:
        """Keep a reported failure, unless the answer is whole; return whether there is one."""
        if failure is not None and self.finish_reason is None:
            self.failure = self.failure or failure
        return failure is not None

    def _add_usage(self, found: list[AnswerChunk], reported: Any, model: Any) -> None:
        if reported:
            name = storable(model[:MAX_MODEL_LENGTH]) if isinstance(model, str) else None
            self._held_usage = AnswerChunk(usage=parse_usage(reported), response_model=name)
        if self._held_usage is not None and (self.begun or self.finish_reason is not None):
            # Before the answer begins, a failed call may still be retried.
            found.append(self._held_usage)
            self._held_usage = None


def _index(choice: dict[str, Any], position: int) -> float:
    index = choice.get("index")
    if index.__class__ is int:
        return index
    if isinstance(index, str) and index.isascii() and index.isdigit():
        return int(index[:9])
    return index if isinstance(index, int | float) and not isinstance(index, bool) else position


def has_entry(chunks: Iterable[AnswerChunk]) -> bool:
    """Tell whether some of the chunks are part of the answer's text or tool calls."""
    return any(chunk.entry is not None for chunk in chunks)
