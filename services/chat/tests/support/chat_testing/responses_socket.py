"""Responses over a WebSocket: what a client sends, and the events that it gets."""

from typing import Any

from chat_testing.asgi_socket import AsgiSocket
from chat_testing.published_schemas import check_socket_frame

PATH = "/v1/responses"


def create(socket: AsgiSocket, **members: Any) -> None:
    socket.send(**{"type": "response.create", "model": "default", "input": "Hi", **members})


async def events_of(socket: AsgiSocket, **members: Any) -> list[Any]:
    create(socket, **members)
    events = [await socket.next()]
    while events[-1]["type"] not in {"error", "response.completed", "response.incomplete", "response.failed"}:
        events.append(await socket.next())
    for event in events:
        check_socket_frame(event)
    return events


async def response_of(socket: AsgiSocket, **members: Any) -> Any:
    return (await events_of(socket, **members))[-1]["response"]


async def refusal_of(socket: AsgiSocket, **members: Any) -> tuple[int, str]:
    (error,) = await events_of(socket, **members)
    return error["status"], error["error"]["code"]
