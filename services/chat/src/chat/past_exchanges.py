"""Earlier exchanges of a conversation: a user message, its answer, and the tool calls and results between them."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from chat.model import INSERTED, ToolResult


@dataclass(frozen=True, slots=True)
class PastStep:
    """An earlier answer or tool result of an exchange that has several."""

    role: Literal["assistant", "tool"]
    content: str
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class PastExchange:
    """An earlier user message and its answer."""

    turn_id: UUID
    parent_id: UUID | None
    user_message: str
    answer: str
    tool_calls: list[dict[str, Any]] | None = None
    before: tuple[PastStep, ...] = ()
    """Steps between the user message and the answer."""
    after: tuple[PastStep, ...] = ()
    """Tool results after the answer."""
    continues: bool = False
    """Goes on with the exchange before; the user message is the same."""
    input: Sequence[dict[str, Any]] | None = None
    """The messages before the answer, if they are not just the user message and ``before``."""
    items: Sequence[dict[str, Any]] | None = None
    """The stored items of ``input``."""
    deleted_calls: Collection[int] = ()
    """Places among the answer's calls from which a call was deleted."""
    stands_alone: bool = False
    """Counts without an answer: its user put it into the conversation like this, or deleted the answer."""
    stored_length: int | None = None
    """The length as the store that read the exchange counts it, where it stopped reading."""

    @property
    def length(self) -> int:
        """Return the characters of the exchange."""
        if self.stored_length is not None:
            return self.stored_length
        steps = sum(len(step.content) for step in (*self.before, *self.after))
        return len(self.user_message) + len(self.answer) + steps


def stands_alone(turn_id: UUID, finish_reason: str | None, response: Mapping[str, Any] | None) -> bool:
    """Tell whether the exchange of an ended turn counts without an answer; ``response`` as the turn has it."""
    return finish_reason == INSERTED or str(turn_id) in (response or {}).get("deleted_messages", ())


def call_places(deleted: Collection[int]) -> Iterator[int]:
    """Yield the places of the calls that an answer still has, without end."""
    return (place for place in itertools.count() if place not in deleted)


def result_steps(results: Iterable[ToolResult]) -> tuple[PastStep, ...]:
    """Return tool results as steps of an exchange."""
    return tuple(PastStep("tool", result.content, tool_call_id=result.tool_call_id) for result in results)
