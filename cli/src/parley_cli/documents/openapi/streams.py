"""Schemas of what streams carry: server-sent events, and the frames of the WebSocket."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from chat.protocols.openai_responses.socket_frames import ResponseCreateFrame
from chat.protocols.parley.stream_events import (
    DrainingEvent,
    InterruptedEvent,
    SessionRevokedEvent,
    TurnDeltaEvent,
    TurnFinishedEvent,
    TurnStartedEvent,
)
from chat.protocols.websocket.schemas import AuthFrame, CancelFrame, CreateFrame, ResumeFrame
from chat.protocols.websocket.server_frames import DrainingFrame, ErrorFrame, OkFrame, ReadyFrame, TurnEventFrame
from history.event_feed.schemas import FeedEvent

CLIENT_FRAMES: tuple[type[BaseModel], ...] = (AuthFrame, CreateFrame, ResumeFrame, CancelFrame)
SERVER_FRAMES: tuple[type[BaseModel], ...] = (ReadyFrame, TurnEventFrame, OkFrame, ErrorFrame, DrainingFrame)
EVENTS: tuple[type[BaseModel], ...] = (
    TurnStartedEvent,
    TurnDeltaEvent,
    TurnFinishedEvent,
    DrainingEvent,
    InterruptedEvent,
    SessionRevokedEvent,
    FeedEvent,
)
_REFERENCE = "#/components/schemas/{model}"


def schemas() -> dict[str, Any]:
    """Return the schemas of the events and frames, by name."""
    received: tuple[type[BaseModel], ...] = (*CLIENT_FRAMES, ResponseCreateFrame)
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in received),
        *((model, "serialization") for model in (*SERVER_FRAMES, *EVENTS)),
    ]
    found: dict[str, Any] = models_json_schema(modes, ref_template=_REFERENCE)[1]["$defs"]
    found["CreateFrame"]["properties"]["body"] = {"$ref": _REFERENCE.format(model="ChatRequest")}
    found["ErrorFrame"]["properties"]["problem"] = {"$ref": _REFERENCE.format(model="Problem")}
    return found


def with_references(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response with the names of its events as references to their schemas."""
    for content in response.get("content", {}).values():
        if "x-events" in content:
            content["x-events"] = {name: _references(models) for name, models in content["x-events"].items()}
    return response


def socket_frames() -> dict[str, Any]:
    """Return the frames of the WebSocket, as members of its operation."""
    return {
        "x-client-frames": _references(model.__name__ for model in CLIENT_FRAMES),
        "x-server-frames": _references(model.__name__ for model in SERVER_FRAMES),
    }


def responses_socket_frames() -> dict[str, Any]:
    """Return the frames that clients send over the WebSocket of responses, as a member of its operation."""
    return {"x-client-frames": _references((ResponseCreateFrame.__name__, AuthFrame.__name__))}


def _references(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": _REFERENCE.format(model=name)} for name in names]
