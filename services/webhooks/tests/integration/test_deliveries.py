"""Deliveries of events: signed, retried, once per event, in order where asked, and logged."""

import asyncio
import hashlib
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from standardwebhooks.webhooks import Webhook

from parley.ids import new_id
from parley_events import CloudEvent
from parley_testing.waiting import eventually
from webhooks.database import Database
from webhooks.erasure.postgres import PostgresRedactions, PostgresUserWebhooks
from webhooks.intake.consumer import EventIntake
from webhooks.intake.postgres import PostgresIntake
from webhooks.intake.wanted import WantedEvents
from webhooks.sending.postgres import PostgresDeliveryQueue
from webhooks_testing.app import RunningWebhooks, WebhookOwner
from webhooks_testing.receiver import Receiver, open_receiver

pytestmark = pytest.mark.integration


async def test_an_event_arrives_once_with_a_signature_that_standard_webhooks_verifies(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url, "conversation.turn.completed")
    event = user.turn()
    await webhooks.publish(event, event, webhooks.user().turn())
    await eventually(lambda: receiver.requests)
    found = receiver.requests[0]
    verified = Webhook(webhook["secret"]).verify(found.body, found.headers)
    assert verified == {"type": event.name, "timestamp": found.json["timestamp"], "data": event.json()}
    assert found.id == str(event.id)
    assert found.headers["content-type"] == "application/json"
    assert found.headers["user-agent"].startswith("Parley-Webhooks/")
    logged = await eventually(lambda: _delivered(user, webhook))
    assert receiver.ids == [str(event.id)]
    assert logged["event_type"] == "io.parley.conversation.turn.completed.v1"
    assert (logged["response_status"], logged["attempt"], logged["error"]) == (204, 1, None)
    assert logged["body_sha256"] == hashlib.sha256(found.body).hexdigest()
    listed = (await user.send("GET"))["data"][0]
    assert listed["last_delivery"]["status"] == "delivered"
    assert "secret" not in listed


async def _delivered(user: WebhookOwner, webhook: dict[str, Any]) -> dict[str, Any] | None:
    found = await user.deliveries(webhook, status="delivered")
    return found[0] if found else None


async def test_the_log_shows_stored_digests_and_makes_those_of_an_earlier_release(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url)
    event = user.turn()
    await webhooks.publish(event)
    logged = await eventually(lambda: _delivered(user, webhook))
    for stored, shown in ((b"\x07", "07"), (None, logged["body_sha256"])):
        await webhooks.pool.execute("UPDATE events SET body_sha256 = $2 WHERE id = $1", event.id, stored)
        assert (await user.deliveries(webhook))[0]["body_sha256"] == shown
    await webhooks.pool.execute("UPDATE events SET body = '{}' WHERE id = $1", event.id)
    assert (await user.deliveries(webhook))[0]["body_sha256"] == hashlib.sha256(b"{}").hexdigest()


async def test_the_clients_of_svix_and_openai_verify_a_delivery(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    from openai import AsyncOpenAI, InvalidWebhookSignatureError  # each takes a quarter of a second in every worker
    from svix.webhooks import Webhook as SvixWebhook

    user = webhooks.user()
    webhook = await user.create(receiver.url)
    event = user.turn()
    await webhooks.publish(event)
    await eventually(lambda: receiver.requests)
    found = receiver.requests[0]
    SvixWebhook(webhook["secret"]).verify(found.body, found.headers)
    openai = AsyncOpenAI(api_key="unused", webhook_secret=webhook["secret"])
    assert openai.webhooks.unwrap(found.body, found.headers).type == event.name
    with pytest.raises(InvalidWebhookSignatureError):
        openai.webhooks.unwrap(found.body + b" ", found.headers)
    await openai.close()


async def test_a_failed_delivery_is_tried_again_until_it_succeeds_and_then_its_webhook_fails_no_longer(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url)
    answers = iter((500, 503))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=next(answers, 200))

    receiver.answer = answer
    event = user.turn()
    await webhooks.publish(event)
    logged = await eventually(lambda: _delivered(user, webhook))
    assert logged["attempt"] == 3
    assert receiver.ids == [str(event.id)] * 3
    assert await webhooks.pool.fetchval("SELECT failing_since FROM webhooks WHERE id = $1", webhook["id"]) is None


async def test_a_delivery_is_dead_after_the_last_retry_and_can_be_sent_again(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url)
    receiver.status = 302
    await webhooks.publish(user.turn())
    dead = await eventually(lambda: user.deliveries(webhook, status="dead"))
    assert (dead[0]["attempt"], dead[0]["error"], dead[0]["next_attempt_at"]) == (4, "status_302", None)
    receiver.status = 204
    await user.send("POST", f"/{webhook['id']}/deliveries/{dead[0]['id']}/redeliver", status=202)
    logged = await eventually(lambda: _delivered(user, webhook))
    assert logged["id"] == dead[0]["id"]
    again = {"since": logged["created_at"], "until": "2100-01-01T00:00:00Z"}
    before = len(receiver.requests)
    found = await user.send("POST", f"/{webhook['id']}/redeliver", status=202, json=again)
    assert (found["deliveries"], found["more"]) == (1, False)
    await eventually(lambda: len(receiver.requests) > before)
    logged = await eventually(lambda: _delivered(user, webhook))
    # What was sent again since the first request is not sent once more.
    rest = again | {"attempted_before": found["attempted_before"]}
    assert await user.send("POST", f"/{webhook['id']}/redeliver", status=202, json=rest) == found | {"deliveries": 0}


async def _begin_delivery(
    webhooks: RunningWebhooks, user: WebhookOwner, receiver: Receiver, released: asyncio.Event
) -> tuple[dict[str, Any], CloudEvent]:
    """Send an event to a new webhook, whose receiver answers no request before ``released`` is set."""

    async def wait(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.answer = wait
    webhook, event = await user.create(receiver.url), user.turn()
    await webhooks.publish(event)
    await eventually(lambda: receiver.requests)
    return webhook, event


async def test_a_delivery_that_is_being_sent_is_not_sent_beside_itself(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user, released = webhooks.user(), asyncio.Event()
    webhook, event = await _begin_delivery(webhooks, user, receiver, released)
    (sent,) = await user.deliveries(webhook)
    await user.send("POST", f"/{webhook['id']}/deliveries/{sent['id']}/redeliver", status=202)
    # A test event is due after the delivery would be.
    test = await user.send("POST", f"/{webhook['id']}/test", status=202)
    await eventually(lambda: len(receiver.requests) >= 2)
    assert receiver.ids == [str(event.id), test["event_id"]]
    released.set()


@pytest.mark.parametrize("status", [410, 500])
async def test_a_failure_of_the_former_address_is_none_of_the_new_one_which_gets_the_delivery(
    webhooks: RunningWebhooks, receiver: Receiver, status: int
) -> None:
    user, released = webhooks.user(), asyncio.Event()

    async def fail(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(status=status)

    receiver.answer = fail
    webhook, event = await user.create(receiver.url), user.turn()
    await webhooks.publish(event)
    await eventually(lambda: receiver.requests)
    async with open_receiver() as moved:
        await user.send("PATCH", f"/{webhook['id']}", json={"url": moved.url})
        released.set()
        logged = await eventually(lambda: _delivered(user, webhook))
        assert moved.ids == [str(event.id)]
    assert logged["attempt"] == 2
    assert (await user.send("GET", f"/{webhook['id']}"))["status"] == "active"
    assert await webhooks.pool.fetchval("SELECT failing_since FROM webhooks WHERE id = $1", webhook["id"]) is None


async def test_the_claim_of_a_request_in_progress_is_renewed_and_a_finished_one_is_not(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user, released = webhooks.user(), asyncio.Event()
    webhook, event = await _begin_delivery(webhooks, user, receiver, released)
    queue = PostgresDeliveryQueue(Database(webhooks.pool), max_in_flight=5, disable_after=60, lease=3600)
    state = "SELECT claim, claimed_until > now() + interval '30 min' AS renewed FROM deliveries WHERE event_id = $1"
    claim, renewed = await webhooks.pool.fetchrow(state, event.id)
    assert not renewed

    async def renew() -> bool:
        await queue.renew({claim})
        found: bool = await webhooks.pool.fetchval(state, event.id, column=1)
        return found

    await eventually(renew)  # the sender may renew between the two statements, for less
    released.set()
    await eventually(lambda: _delivered(user, webhook))
    await queue.renew({claim})
    assert tuple(await webhooks.pool.fetchrow(state, event.id)) == (None, None)


async def test_the_events_of_a_key_arrive_in_order_although_the_first_fails(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user, one, other = webhooks.user(), new_id(), new_id()
    failing: set[str] = set()

    async def answer(request: web.Request) -> web.Response:
        event = request.headers["webhook-id"]
        if event in failing:
            failing.discard(event)
            return web.Response(status=503)
        return web.Response()

    receiver.answer = answer
    await user.create(receiver.url, ordered=True)
    events = [user.turn(conversation) for conversation in (one, one, one, other)]
    failing.add(str(events[0].id))
    await webhooks.publish(*events)
    await eventually(lambda: set(receiver.ids) == {str(event.id) for event in events})
    first, *later = [str(event.id) for event in events if event.subject == str(one)]
    arrived = [each for each in receiver.ids if each in {first, *later}]
    assert arrived == [first, first, *later]


async def test_a_slow_receiver_gets_few_requests_at_once_and_delays_nobody(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    slow, quick = webhooks.user(), webhooks.user()
    released = asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.answer = wait
    await slow.create(receiver.url)
    async with open_receiver() as other:
        await quick.create(other.url)
        await webhooks.publish(*(slow.turn() for _ in range(20)), quick.turn())
        await eventually(lambda: other.requests)
    await eventually(lambda: receiver.open == 5)
    assert receiver.most_open == 5
    released.set()
    await eventually(lambda: len(receiver.requests) == 20)
    assert receiver.most_open == 5


async def test_a_new_webhook_gets_the_next_event_although_the_intake_does_not_know_it_yet(
    webhooks: RunningWebhooks, receiver: Receiver
) -> None:
    user = webhooks.user()
    database = Database(webhooks.pool)
    wanted = WantedEvents(database)
    await wanted.refresh(at_once=True)
    intake = EventIntake(
        PostgresIntake(database),
        PostgresUserWebhooks(database),
        PostgresRedactions(database),
        wanted,
        CollectorRegistry(),
        wake=lambda: None,
        wake_relay=lambda: None,
    )
    webhook = await user.create(receiver.url, "conversation.turn.*")
    first, second = user.turn(), user.turn()
    assert not intake.is_urgent(first)
    assert await intake.handle_batch([first]) == []
    assert intake.is_urgent(second)
    await eventually(lambda: _delivered(user, webhook))
    assert receiver.ids == [str(first.id)]
    assert not intake.is_urgent(webhooks.user().turn())
