"""Sample events of the other services."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode

SAMPLE_TIME = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)


@dataclass(frozen=True)
class SampleTurn:
    """A turn, and the events that chat publishes about it."""

    user_id: UUID = field(default_factory=new_id)
    conversation_id: UUID = field(default_factory=new_id)
    turn_id: UUID = field(default_factory=new_id)
    number: int = 1
    parent_id: UUID | None = None
    question: str = "Hello, who are you?"
    answer: str = "I am a model."
    user_message_id: UUID = field(default_factory=new_id)
    start: datetime | None = None
    """None means 10 seconds after the start of the turn before."""
    cost: str | None = "0.000012340"
    tokens: tuple[int, int] | None = (41, 16)
    model: str = "default"
    stored: bool = True
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def started_at(self) -> datetime:
        return self.start or SAMPLE_TIME + timedelta(seconds=10 * self.number)

    def next(self, **changed: Any) -> "SampleTurn":
        """Return the turn that follows this answer."""
        new = SampleTurn(self.user_id, self.conversation_id, number=self.number + 1, parent_id=self.turn_id)
        return replace(new, **changed)

    def regenerated(self, **changed: Any) -> "SampleTurn":
        """Return another answer to the same question."""
        new = SampleTurn(
            self.user_id,
            self.conversation_id,
            number=self.number + 1,
            parent_id=self.parent_id,
            user_message_id=self.user_message_id,
            question=self.question,
        )
        return replace(new, **changed)

    def started(self, **changed: Any) -> CloudEvent:
        """Return ``conversation.turn.started``."""
        return self._event("started", {**self._common_data(), "message_id": self.turn_id, **changed})

    def ended(self, status: str = "completed", **changed: Any) -> CloudEvent:
        """Return the terminal event."""
        finished_at = self.started_at + timedelta(seconds=2)
        prompt, completion = self.tokens or (0, 0)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        message = {"id": self.turn_id, "content": self.answer, "tool_calls": None, "created_at": finished_at}
        data = {
            **self._common_data(),
            "message": message if self.stored else None,
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
            "finished_at": finished_at,
            "time_to_first_token_ms": 180,
            **changed,
        }
        return self._event(status, data)

    def redacted(self, *, revision: int = 1, gone: Sequence[UUID] = (), **changed: Any) -> CloudEvent:
        """Return the terminal event without items that the user deleted."""
        data = orjson.loads(self.ended(**changed).data)
        data |= {"revision": revision, "deleted_message_ids": list(gone)}
        return self._event("redacted", data)

    def _common_data(self) -> dict[str, Any]:
        question = {"id": self.user_message_id, "content": self.question, "created_at": self.started_at}
        return {
            "turn_id": self.turn_id,
            "conversation_id": self.conversation_id if self.stored else None,
            "user_id": self.user_id,
            "number": self.number,
            "stored": self.stored,
            "parent_id": self.parent_id,
            "regenerate": None,
            "user_message": question if self.stored else None,
            "model": self.model,
            "system_prompt": None,
            "metadata": self.metadata,
            "request_id": str(self.turn_id),
            "started_at": self.started_at,
        }

    def _event(self, status: str, data: dict[str, Any]) -> CloudEvent:
        key = str(self.conversation_id if self.stored else self.turn_id)
        return CloudEvent(
            id=new_id(),
            source="/services/chat",
            name=f"conversation.turn.{status}",
            version=1,
            subject=key,
            time=self.started_at,
            partition_key=key,
            sequence=2 * self.number - (status == "started"),
            data=orjson.dumps(data),
        )


def as_published(event: CloudEvent) -> CloudEvent:
    """Return the event with its data as chat writes it."""
    data = decode(event)
    return event if data is None else replace(event, data=data.model_dump_json().encode())


def user_erased(user_id: UUID) -> CloudEvent:
    """Return ``user.erased``."""
    return CloudEvent(
        id=new_id(),
        source="/services/auth",
        name="user.erased",
        version=1,
        subject=str(user_id),
        time=SAMPLE_TIME,
        partition_key=str(user_id),
        sequence=1,
        data=orjson.dumps({"user_id": user_id, "erasure_id": "q5m3b0m8", "at": SAMPLE_TIME}),
    )
