"""Parser of the events of Anthropic's Messages API. It passes them on as chunks of a completion."""

from collections.abc import Callable
from typing import Any

from chat.generation import AnswerChunk
from chat.providers.parsing import lenient_json
from chat.providers.parsing.chunks import ChunkParser

Document = dict[str, Any]
_DELTAS = {"text_delta": ("text", "content"), "thinking_delta": ("thinking", "reasoning_content")}
"""Members of a delta and of its chunk, by the type of the delta."""
_BLOCKS = {"text": "content", "thinking": "reasoning_content"}
_EVENTS = ("message", "message_start", "message_delta", "message_stop", "ping", "error")
_BLOCK_EVENTS = ("content_block_start", "content_block_delta", "content_block_stop")


class MessageParser(ChunkParser):
    """Parser of one message, streamed or whole. Blocks of types that Parley does not ask for are ignored."""

    event_names = frozenset({b"", *(name.encode() for name in (*_EVENTS, *_BLOCK_EVENTS))})

    def __init__(self) -> None:
        super().__init__()
        self._usage: Document = {}
        self._model: Any = None
        self._inputs: dict[int, Any] = {}
        """Input of each call without deltas so far, by the index of its block."""
        self._calls_seen: set[int] = set()
        self._events: dict[str, Callable[[Document], list[AnswerChunk]]] = {
            "content_block_start": self._begin,
            "content_block_stop": self._end_block,
            "message": self._whole,
            "message_delta": self._finish,
            "message_start": self._start,
            "message_stop": self._stop,
        }

    def add(self, document: Any, *, error: bool = False) -> list[AnswerChunk]:
        """Return the answer chunks of a decoded event."""
        kind = _type(document)
        if error or kind == "error":
            return super().add(document, error=True)
        if kind == "content_block_delta":  # most events
            return self._delta(document)
        read = self._events.get(kind)
        return [] if read is None else read(document)

    def _delta(self, event: Document) -> list[AnswerChunk]:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return []
        kind = _type(delta)
        known = _DELTAS.get(kind)
        if known is not None:
            return self._send({known[1]: delta.get(known[0])})
        index = _index(event)
        if kind != "input_json_delta" or index not in self._calls_seen:
            return []
        part = delta.get("partial_json")
        if part:
            self._inputs.pop(index, None)
        return self._send_call({"index": index, "function": {"arguments": part}})

    def _begin(self, event: Document) -> list[AnswerChunk]:
        index, block = _index(event), event.get("content_block")
        if not isinstance(block, dict):
            return []
        kind = _type(block)
        if kind == "tool_use":
            self._calls_seen.add(index)
            self._inputs[index] = block.get("input")
            return self._send_call({"index": index, "id": block.get("id"), "function": {"name": block.get("name")}})
        text = block.get(kind) if kind in _BLOCKS else None
        return self._send({_BLOCKS[kind]: text}) if text else []

    def _end_block(self, event: Document) -> list[AnswerChunk]:
        index = _index(event)
        if index not in self._inputs:
            return []
        arguments = lenient_json.dumps(self._inputs.pop(index) or {})
        return self._send_call({"index": index, "function": {"arguments": arguments}})

    def _whole(self, message: Document) -> list[AnswerChunk]:
        found = self._start({"message": message})
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            found += self._begin({"index": index, "content_block": block}) + self._end_block({"index": index})
        return found + self._finish({"delta": message})

    def _start(self, event: Document) -> list[AnswerChunk]:
        message = event.get("message")
        if isinstance(message, dict):
            self._model = message.get("model")
            self._count(message.get("usage"))
        return []

    def _finish(self, event: Document) -> list[AnswerChunk]:
        """Return the finish reason and the usage so far."""
        self._count(event.get("usage"))
        delta = event.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        choice: Document = {"index": 0, "delta": {}, "finish_reason": reason}
        return super().add({"choices": [choice], "model": self._model, "usage": _usage(self._usage)})

    def _stop(self, _: Document) -> list[AnswerChunk]:
        self.ended = True
        return []

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _send(self, delta: Document) -> list[AnswerChunk]:
        return super().add({"choices": [{"index": 0, "delta": delta}]})

    def _send_call(self, call: Document) -> list[AnswerChunk]:
        return self._send({"tool_calls": [call]})


def _type(document: Any) -> str:
    found = document.get("type") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def _index(event: Document) -> int:
    found = event.get("index")
    return found if isinstance(found, int) else 0


def _usage(counts: Document) -> Document | None:
    """Return the counts as those of a completion, whose prompt tokens include the cached ones."""
    if not counts:
        return None
    read = counts.get("cache_read_input_tokens", 0)
    parts = [counts.get("input_tokens"), counts.get("cache_creation_input_tokens", 0), read]
    known = all(isinstance(part, int) and part >= 0 for part in parts)
    details = counts.get("output_tokens_details")
    thought = details.get("thinking_tokens") if isinstance(details, dict) else None
    return {
        "prompt_tokens": sum(parts) if known else None,
        "completion_tokens": counts.get("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": read},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
