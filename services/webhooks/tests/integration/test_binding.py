"""Binding of the queue: the events of turns arrive from the first webhook on."""

from unittest.mock import AsyncMock
from uuid import UUID

import pytest

from parley.messaging.bus import BusDown
from parley_events.routing import ALL_EVENTS
from parley_testing.waiting import eventually
from webhooks.intake.binding import ALWAYS_BOUND, QUEUE
from webhooks_testing.app import NewDatabase, OpenWebhooks, RunningWebhooks, WebhookOwner
from webhooks_testing.receiver import Receiver

pytestmark = pytest.mark.integration


async def test_events_of_turns_arrive_from_the_first_webhook_on(
    open_webhooks_on: OpenWebhooks, new_database: NewDatabase, receiver: Receiver
) -> None:
    async with open_webhooks_on(await new_database()) as webhooks:
        assert _bindings(webhooks) == {*ALWAYS_BOUND}
        owner = webhooks.user()
        await webhooks.publish(owner.turn())
        await owner.create(receiver.url)
        await _arrives(webhooks, owner, receiver)


async def test_events_of_turns_arrive_after_a_restart(
    open_webhooks_on: OpenWebhooks, new_database: NewDatabase, receiver: Receiver
) -> None:
    dsn = await new_database()
    async with open_webhooks_on(dsn) as webhooks:
        owner_id, _ = await _create(webhooks, receiver)
    async with open_webhooks_on(dsn) as webhooks:
        await _arrives(webhooks, webhooks.user(owner_id), receiver)


async def test_an_activated_webhook_gets_the_events_that_follow(
    open_webhooks_on: OpenWebhooks, new_database: NewDatabase, receiver: Receiver
) -> None:
    dsn = await new_database()
    async with open_webhooks_on(dsn) as webhooks:
        owner_id, webhook_id = await _create(webhooks, receiver)
        await webhooks.pool.execute("UPDATE webhooks SET status = 'disabled'")
    async with open_webhooks_on(dsn) as webhooks:
        assert ALL_EVENTS not in _bindings(webhooks)
        owner = webhooks.user(owner_id)
        await owner.send("PATCH", f"/{webhook_id}", json={"status": "active"})
        await _arrives(webhooks, owner, receiver)


async def test_while_the_broker_is_away_only_the_first_webhook_is_refused(
    open_webhooks_on: OpenWebhooks,
    new_database: NewDatabase,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_webhooks_on(await new_database()) as webhooks:
        owner = webhooks.user()
        with monkeypatch.context() as patched:
            patched.setattr(webhooks.bus, "bind", AsyncMock(side_effect=BusDown))
            response = await owner.request("POST", json={"url": receiver.url, "events": ["#"]})
            assert response.status_code == 503
            assert response.json()["code"] == "dependency_unavailable"
            assert int(response.headers["retry-after"]) > 0
        assert (await owner.send("GET"))["data"] == []
        await owner.create(receiver.url)
        monkeypatch.setattr(webhooks.bus, "bind", AsyncMock(side_effect=BusDown))
        await webhooks.user().create(receiver.url)


def _bindings(webhooks: RunningWebhooks) -> set[str]:
    return webhooks.bus._bindings[QUEUE]


async def _create(webhooks: RunningWebhooks, receiver: Receiver) -> tuple[UUID, str]:
    """Create a webhook; return its owner's ID and its own."""
    owner = webhooks.user()
    return owner.id, (await owner.create(receiver.url))["id"]


async def _arrives(webhooks: RunningWebhooks, owner: WebhookOwner, receiver: Receiver) -> None:
    """Publish an event, and wait until exactly it is delivered."""
    event = owner.turn()
    await webhooks.publish(event)
    await eventually(lambda: receiver.ids == [str(event.id)])
