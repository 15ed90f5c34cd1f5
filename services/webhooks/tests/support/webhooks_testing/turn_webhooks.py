"""Webhooks for the events of all turns, in the stack of separate processes."""

from datetime import datetime
from typing import NamedTuple

import httpx2
from aiohttp import web

from parley_testing.http.client import UserClient

ORDERED, UNORDERED = "/ordered", "/unordered"
"""Paths of the receiver for a webhook with order and for one without."""
RETRIES = 50


class TurnDelivery(NamedTuple):
    """An event of a turn that arrived at the receiver; a repetition is equal to the first arrival."""

    path: str
    id: str
    name: str
    conversation: str
    turn: str
    happened: datetime


async def delivery_of(request: web.Request) -> TurnDelivery:
    """Return the delivery in a request to one of the webhooks of ``create_turn_webhooks``."""
    event = await request.json()
    return TurnDelivery(
        path=f"/{request.path.rpartition('/')[2]}",
        id=request.headers["webhook-id"],
        name=event["type"],
        conversation=event["data"]["conversation_id"],
        turn=event["data"]["turn_id"],
        happened=datetime.fromisoformat(event["timestamp"]),
    )


def receiver_settings(retry_delay: int) -> dict[str, str]:
    """Return settings with which webhooks may send to this machine and retry after ``retry_delay`` seconds."""
    return {
        "WEBHOOKS_ALLOW_HTTP": "true",
        "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_RETRY_DELAYS": ",".join([str(retry_delay)] * RETRIES),
    }


async def create_turn_webhooks(administrator: UserClient, url: str) -> list[str]:
    """Create a webhook for the events of all turns at each path of a receiver; return their ids."""
    return [await _create(administrator, url + path, ordered=path == ORDERED) for path in (ORDERED, UNORDERED)]


async def _create(administrator: UserClient, url: str, *, ordered: bool) -> str:
    body = {"url": url, "events": ["conversation.turn.*"], "ordered": ordered, "scope": "all"}
    response = await administrator.request("POST", "/api/v1/webhooks", json=body)
    assert response.status_code == httpx2.codes.CREATED, response.text
    return str(response.json()["id"])
