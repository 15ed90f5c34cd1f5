"""Schemas of the frames that the server sends, for the API's documentation. ``projection`` writes the frames."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from chat.protocols.parley.stream_events import TurnDeltaEvent, TurnFinishedEvent, TurnStartedEvent
from parley.times import Timestamp


class ReadyFrame(BaseModel):
    """The socket is authenticated until ``expires_at``. Send `auth` again before."""

    type: Literal["ready"]
    user_id: UUID
    expires_at: Timestamp


class TurnEventFrame(BaseModel):
    """An event of a turn; ``id`` is the cursor with which the turn is resumed."""

    type: Literal["turn.event"]
    ref: str
    id: str
    data: TurnStartedEvent | TurnDeltaEvent | TurnFinishedEvent


class OkFrame(BaseModel):
    """The turn is being cancelled."""

    type: Literal["ok"]
    ref: str


class ErrorFrame(BaseModel):
    """The frame with this ``ref`` failed; ``problem`` is an error body as of the other routes."""

    type: Literal["error"]
    ref: str
    problem: dict[str, Any]


class DrainingFrame(BaseModel):
    """The server shuts down. Connect again after the delay, and resume the turns."""

    type: Literal["draining"]
    retry_after_ms: int
