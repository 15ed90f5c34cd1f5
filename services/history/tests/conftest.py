"""Turns as chat tells of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from parley.ids import new_id
from parley_events.cloudevents import CloudEvent

BEGAN = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)


class TurnStory:
    """One turn, and the events chat publishes of it."""

    def __init__(self, user_id: UUID | None = None, conversation_id: UUID | None = None, **given: Any) -> None:
        self.user_id = user_id or new_id()
        self.conversation_id = conversation_id or new_id()
        self.turn_id = given.pop("turn_id", None) or new_id()
        self.number: int = given.pop("number", 1)
        self.parent_id: UUID | None = given.pop("parent_id", None)
        self.question: str = given.pop("question", "Hello, who are you?")
        self.answer: str = given.pop("answer", "I am a model.")
        self.user_message_id: UUID = given.pop("user_message_id", None) or new_id()
        self.began: datetime = given.pop("began", BEGAN + timedelta(seconds=10 * self.number))
        self.cost: str | None = given.pop("cost", "0.000012340")
        self.tokens: tuple[int, int] | None = given.pop("tokens", (41, 16))
        self.model: str = given.pop("model", "default")
        self.stored: bool = given.pop("stored", True)
        self.metadata: dict[str, str] = given.pop("metadata", {})
        assert not given

    def next(self, **given: Any) -> "TurnStory":
        """Return the turn that follows this answer."""
        given = {"number": self.number + 1, "parent_id": self.turn_id, **given}
        return TurnStory(self.user_id, self.conversation_id, **given)

    def regenerated(self, **given: Any) -> "TurnStory":
        """Return another answer to the same question."""
        given = {
            "number": self.number + 1,
            "parent_id": self.parent_id,
            "user_message_id": self.user_message_id,
            "question": self.question,
            **given,
        }
        return TurnStory(self.user_id, self.conversation_id, **given)

    def started(self, event_id: UUID | None = None, **changed: Any) -> CloudEvent:
        """Return ``conversation.turn.started``."""
        data = {**self._common(), "message_id": self.turn_id, **changed}
        return self._event("started", data, event_id)

    def ended(self, status: str = "completed", event_id: UUID | None = None, **changed: Any) -> CloudEvent:
        """Return the terminal event."""
        finished = self.began + timedelta(seconds=2)
        prompt, completion = self.tokens or (0, 0)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        data = {
            **self._common(),
            "message": {"id": self.turn_id, "content": self.answer, "tool_calls": None, "created_at": finished}
            if self.stored
            else None,
            "provider": "openai",
            "provider_model": "gpt-x",
            "status": status,
            "finish_reason": "stop" if status == "completed" else status,
            "usage": usage if self.tokens else None,
            "cost": self.cost,
            "currency": "USD",
            "price_version": "2026-11-01",
            "cached": False,
            "error": None,
            "finished_at": finished,
            "time_to_first_token_ms": 180,
            **changed,
        }
        return self._event(status, data, event_id)

    def _common(self) -> dict[str, Any]:
        asked = {"id": self.user_message_id, "content": self.question, "created_at": self.began}
        return {
            "turn_id": self.turn_id,
            "conversation_id": self.conversation_id if self.stored else None,
            "user_id": self.user_id,
            "number": self.number,
            "stored": self.stored,
            "parent_id": self.parent_id,
            "regenerate": None,
            "user_message": asked if self.stored else None,
            "model": self.model,
            "system_prompt": None,
            "metadata": self.metadata,
            "request_id": str(self.turn_id),
            "started_at": self.began,
        }

    def _event(self, status: str, data: dict[str, Any], event_id: UUID | None) -> CloudEvent:
        key = str(self.conversation_id if self.stored else self.turn_id)
        return CloudEvent(
            id=event_id or new_id(),
            source="/services/chat",
            name=f"conversation.turn.{status}",
            version=1,
            subject=key,
            time=self.began,
            partition_key=key,
            sequence=2 * self.number - (status == "started"),
            data=orjson.dumps(data),
        )


@pytest.fixture(scope="session")
def turn() -> Callable[..., TurnStory]:
    """Make turns."""
    return TurnStory


@pytest.fixture(scope="session")
def erased() -> Callable[[UUID], CloudEvent]:
    """Make ``user.erased`` events."""

    def make(user_id: UUID) -> CloudEvent:
        return CloudEvent(
            id=new_id(),
            source="/services/auth",
            name="user.erased",
            version=1,
            subject=str(user_id),
            time=BEGAN,
            partition_key=str(user_id),
            sequence=1,
            data=orjson.dumps({"user_id": user_id, "erasure_id": "q5m3b0m8", "at": BEGAN}),
        )

    return make
