"""A client of the Responses API that checks every body, event and frame against the published schemas."""

import json
from typing import Any

import httpx2
import websockets

from chat_testing.published_schemas import check_body, check_event, check_socket_frame
from parley_testing.http.client import Account

ENDS = {"error", "response.completed", "response.incomplete", "response.failed"}


def message(role: str, content: Any, **members: str) -> dict[str, Any]:
    """Return a message as an input item."""
    return {"type": "message", "role": role, "content": content, **members}


async def post(http: httpx2.AsyncClient, path: str = "/responses", status: int = 200, **members: Any) -> Any:
    """Return the body of a request to ``/v1``."""
    answer = await http.post(path, json={"model": "gpt-5", **members})
    assert answer.status_code == status, answer.text
    check_body(answer.json())
    return answer.json()


async def stream(http: httpx2.AsyncClient, **members: Any) -> list[Any]:
    """Return the events of a streamed response."""
    answer = await http.post("/responses", json={"model": "gpt-5", "stream": True, **members})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    for event in events:
        check_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


class Socket:
    """A WebSocket for responses."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self._connection = connection

    async def ask(self, **members: Any) -> Any:
        """Return the last frame of a response, or its error. Every frame fits its schema."""
        await self._connection.send(json.dumps({"type": "response.create", "model": "gpt-5", **members}))
        while True:
            frame = json.loads(await self._connection.recv())
            check_socket_frame(frame)
            if frame["type"] in ENDS:
                return frame

    async def response(self, **members: Any) -> Any:
        """Return a completed response."""
        frame = await self.ask(**members)
        assert frame["type"] == "response.completed", frame
        check_body(frame["response"])
        return frame["response"]

    async def refusal(self, **members: Any) -> Any:
        """Return the code of an error."""
        frame = await self.ask(**members)
        assert frame["type"] == "error", frame
        return frame["error"]["code"]


def connect(account: Account) -> websockets.connect:
    """Open a WebSocket for responses."""
    url = account.url.replace("http", "ws", 1)
    return websockets.connect(
        f"{url}/v1/responses", additional_headers={"Authorization": f"Bearer {account.key}"}, proxy=None
    )
