"""Answers parsed from the chunks of a provider."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.providers.parsing.chunks import ChunkParser
from chat.running.tool_calls import join_calls
from parley_events.parts import Usage


def chunk(content: Any, finish_reason: Any = None) -> dict[str, Any]:
    """Return a chunk of the first choice."""
    return {"choices": [{"index": 0, "delta": content, "finish_reason": finish_reason}]}


def delta(**members: Any) -> dict[str, Any]:
    """Return a chunk with these members of the delta."""
    return chunk(members)


@dataclass
class ParsedAnswer:
    """What a parser has returned."""

    parser: ChunkParser
    chunks: list[AnswerChunk] = field(default_factory=list)

    def add(self, document: Any) -> None:
        """Parse a chunk, or the bytes of one."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.chunks += self.parser.parse(data)

    def finish(self) -> None:
        """End the answer."""
        self.chunks += self.parser.finish()

    @property
    def entries(self) -> Sequence[LogEntry]:
        """The entries of the log."""
        return [found.entry for found in self.chunks if found.entry is not None]

    @property
    def texts(self) -> list[str]:
        """The texts, one for each delta."""
        return [entry.text for entry in self.entries if entry.text]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.texts)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The complete tool calls."""
        return join_calls(self.entries) or []

    @property
    def finish_reason(self) -> str | None:
        """The last finish reason."""
        return next((found.finish_reason for found in reversed(self.chunks) if found.finish_reason), None)

    @property
    def usage(self) -> Usage | None:
        """The last usage."""
        return next((found.usage for found in reversed(self.chunks) if found.usage), None)

    @property
    def damaged(self) -> bool:
        """Whether a part is lost."""
        return self.parser.damaged


def parse(*documents: Any) -> ParsedAnswer:
    """Return the answer of these chunks."""
    answer = ParsedAnswer(ChunkParser())
    for document in documents:
        answer.add(document)
    answer.finish()
    return answer
