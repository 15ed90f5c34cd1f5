"""Messages of history, read as exchanges and as the source of another answer."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chat.history import RegenerationSource
from chat.model import ToolResult
from chat.past_exchanges import PastExchange, PastStep


def exchanges_of(messages: Sequence[dict[str, Any]]) -> list[PastExchange]:
    """Return the exchanges of messages that are given newest first.

    Several user messages in a row, as imported conversations have them, are one. The oldest answer may have none.
    """
    found: list[PastExchange] = []
    steps: list[dict[str, Any]] = []
    shown = [message for message in messages if not message.get("hidden")]
    for is_question, group in itertools.groupby(shown, key=lambda message: message["role"] == "user"):
        run = list(group)
        if not is_question:
            steps = run
        elif any(step["role"] == "assistant" for step in steps):
            found.append(_exchange(steps, run))
            steps = []
        elif not found:
            found.append(_unanswered(run))
    if any(step["role"] == "assistant" for step in steps) and messages[-1]["parent_id"] is None:
        found.append(_exchange(steps, []))
    return found


def _unanswered(questions: list[dict[str, Any]]) -> PastExchange:
    """Return user messages that their user put at the end of a branch."""
    return PastExchange(UUID(questions[0]["id"]), _parent(questions[-1]), _text(questions), "", stands_alone=True)


def _exchange(steps: list[dict[str, Any]], questions: list[dict[str, Any]]) -> PastExchange:
    last = next(index for index, step in enumerate(steps) if step["role"] == "assistant")
    answer = steps[last]
    return PastExchange(
        UUID(answer["id"]),
        _parent(questions[-1]) if questions else None,
        _text(questions),
        answer["content"],
        answer["tool_calls"],
        before=tuple(map(_step, reversed(steps[last + 1 :]))),
        after=tuple(map(_step, reversed(steps[:last]))),
    )


def _step(message: dict[str, Any]) -> PastStep:
    return PastStep(message["role"], message["content"], message["tool_calls"], message.get("tool_call_id"))


def _text(newest_first: list[dict[str, Any]]) -> str:
    return "\n\n".join(message["content"] for message in reversed(newest_first) if message["content"])


def _parent(message: dict[str, Any]) -> UUID | None:
    return UUID(message["parent_id"]) if message["parent_id"] else None


def regeneration_source_of(newest_first: list[dict[str, Any]]) -> RegenerationSource | None:
    """Return what the first message answers: a user message, or tool results of an answer before it."""
    if not newest_first:
        return None
    answer, *above = newest_first
    results = list(itertools.takewhile(lambda message: message["role"] == "tool", above))
    question = next((message for message in above if message["role"] == "user"), None)
    if question is None:
        return None
    before = above[len(results)]
    continues = before is not question
    return RegenerationSource(
        UUID(before["id"]) if continues else _parent(question),
        UUID(question["id"]),
        question["content"],
        datetime.fromisoformat(question["created_at"]),
        answer["tool_calls"],
        tuple(ToolResult(UUID(one["id"]), one.get("tool_call_id"), one["content"]) for one in reversed(results)),
        continues,
    )
