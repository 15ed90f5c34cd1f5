"""A user who calls one replica over HTTP, and the events of the user's streams."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2
import orjson

from parley_testing.security.token_issuer import ALL_SCOPES

if TYPE_CHECKING:
    from chat_testing.replica import ChatReplica


@dataclass
class StreamEvent:
    """One event of an event stream."""

    id: int | None
    name: str | None
    data: dict[str, Any]


class ChatUser:
    """A user with an access token who calls one replica."""

    def __init__(self, replica: "ChatReplica", user_id: UUID, scope: str = ALL_SCOPES) -> None:
        self.id, self.replica, self.client = user_id, replica, replica.client
        self.token = replica.issuer.token(user_id, scope=scope)
        self.headers = {"Authorization": f"Bearer {self.token}"}

    async def request(
        self, method: str, path: str, *, headers: dict[str, Any] | None = None, **options: Any
    ) -> httpx2.Response:
        """Send a request; returns the response."""
        return await self.client.request(method, path, headers={**self.headers, **(headers or {})}, **options)

    async def chat(
        self, message: str | None = "Hello", *, headers: dict[str, str] | None = None, **members: Any
    ) -> httpx2.Response:
        """Post a turn and wait for its answer; returns the response."""
        body = {"message": message, **members} if message is not None else members
        return await self.request("POST", "/api/v1/chat", json=body, headers=headers)

    async def start(self, message: str) -> str:
        """Start a turn without waiting for its answer; returns its ID."""
        response = await self.chat(message, headers={"Prefer": "respond-async"})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, method: str = "POST", headers: dict[str, str] | None = None, **options: Any
    ) -> AsyncIterator[tuple[httpx2.Response, AsyncIterator[StreamEvent]]]:
        """Open an event stream; yields the response and its events."""
        request = self.client.stream(method, path, headers={**self.headers, **(headers or {})}, **options)
        async with request as response:
            yield response, parse_events(response)

    async def streamed(self, path: str, **options: Any) -> list[StreamEvent]:
        """Return all events of a stream."""
        async with self.stream(path, **options) as (response, events):
            assert response.status_code == 200, await response.aread()
            return [event async for event in events]

    async def resumed(self, turn_id: str, after: int | None = None) -> list[StreamEvent]:
        """Return the events of a turn behind a cursor."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        return await self.streamed(f"/api/v1/chat/turns/{turn_id}/stream", method="GET", headers=headers)

    async def turn(self, turn_id: str) -> Any:
        """Return a turn."""
        response = await self.request("GET", f"/api/v1/chat/turns/{turn_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def ended_turn(self, turn_id: str) -> Any:
        """Return a turn, None while it is running."""
        turn = await self.turn(turn_id)
        return turn if turn["status"] != "running" else None


async def parse_events(response: httpx2.Response) -> AsyncIterator[StreamEvent]:
    """Yield the events of an event stream without its comments."""
    lines: list[str] = []
    async for line in response.aiter_lines():
        if line:
            lines.append(line)
            continue
        event = _event(lines)
        lines = []
        if event is not None:
            yield event


def _event(lines: list[str]) -> StreamEvent | None:
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
    if "data" not in fields:
        return None
    data = {} if fields["data"] == "[DONE]" else orjson.loads(fields["data"])
    return StreamEvent(int(fields["id"]) if "id" in fields else None, fields.get("event"), data)
