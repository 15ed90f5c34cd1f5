"""Routes of webhooks: rights, bounds, secrets, disabling, erasure."""

import asyncio
import base64
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import UserChanged, UserErased
from parley_events.testing.samples import sample
from parley_testing.waiting import eventually
from webhooks.database import Database
from webhooks.erasure.postgres import PostgresUserWebhooks
from webhooks_testing.app import NewDatabase, OpenWebhooks, RunningWebhooks, WebhookOwner
from webhooks_testing.receiver import Receiver

pytestmark = pytest.mark.integration
URL = "http://127.0.0.1:9/hook"


async def test_a_token_needs_the_scope(webhooks: RunningWebhooks) -> None:
    await webhooks.user(scope="chat:write").send("GET", status=403)
    body = {"url": URL, "events": ["#"], "scope": "all"}
    await webhooks.user().send("POST", status=403, json=body)


async def test_a_new_webhook_is_returned_as_it_is_stored(webhooks: RunningWebhooks) -> None:
    owner = webhooks.user()
    made = await owner.create(URL)
    del made["secret"]
    assert await owner.send("GET", f"/{made['id']}") == made


async def test_what_is_sent_later_can_be_polled(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    owner = webhooks.user()
    path = f"/{(await owner.create(receiver.url))['id']}"
    sent = await owner.request("POST", f"{path}/test")
    delivery = sent.json()
    again = await owner.request("POST", f"{path}/deliveries/{delivery['id']}/redeliver")
    ranged = await owner.request(
        "POST", f"{path}/redeliver", json={"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    )
    for response, query in ((sent, f"?event_id={delivery['event_id']}"), (again, f"?event_id={delivery['event_id']}")):
        location = response.headers["Location"]
        assert (response.status_code, location) == (202, f"/api/v1/webhooks{path}/deliveries{query}")
        listed = await owner.send("GET", location.removeprefix("/api/v1/webhooks"))
        assert [each["id"] for each in listed["data"]] == [delivery["id"]]
    assert (ranged.status_code, ranged.headers["Location"]) == (202, f"/api/v1/webhooks{path}/deliveries")


async def test_the_webhook_of_another_user_does_not_exist(webhooks: RunningWebhooks) -> None:
    owner, other = webhooks.user(), webhooks.user()
    webhook = await owner.create(URL)
    path = f"/{webhook['id']}"
    again = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    for method, suffix, body in (
        ("GET", "", None),
        ("PATCH", "", {"status": "paused"}),
        ("DELETE", "", None),
        ("POST", "/secret", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{new_id()}/redeliver", None),
        ("POST", "/redeliver", again),
    ):
        for caller in (other, webhooks.user(scope="admin")):
            await caller.send(method, path + suffix, status=404, json=body)
    assert (await owner.send("GET", path))["status"] == "active"
    await owner.send("GET", "/not-an-id", status=404)


async def test_a_webhook_for_all_belongs_to_every_administrator(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    admin, other = webhooks.user(scope="admin"), webhooks.user(scope="admin")
    webhook = await admin.create(receiver.url, "conversation.turn.failed", scope="all")
    user = webhooks.user()
    await webhooks.publish(user.turn(name="conversation.turn.failed"))
    await eventually(lambda: receiver.requests)
    assert receiver.requests[0].json["data"]["user_id"] == str(user.id)
    await other.send("DELETE", f"/{webhook['id']}", status=204)


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "http://10.0.0.1/"},
        {"url": "ftp://example.org"},
        {"url": "https://example.org/" + "a" * 2048},
        {"events": []},
        {"events": ["Not A Name"]},
        {"events": ["#"] * 21},
        {"description": "a" * 201},
        {"ordered": "yes"},
        {"secret": "mine"},
    ],
)
async def test_an_invalid_webhook_is_refused(webhooks: RunningWebhooks, changed: dict[str, object]) -> None:
    await webhooks.user().send("POST", status=422, json={"url": URL, "events": ["#"], **changed})


async def test_a_user_has_a_bounded_number_of_webhooks(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    for _ in range(10):
        await user.create(URL)
    await user.send("POST", status=422, json={"url": URL, "events": ["#"]})
    first = await user.send("GET", params={"limit": 7})
    rest = await user.send("GET", params={"limit": 7, "cursor": first["next_cursor"]})
    assert (len(first["data"]), len(rest["data"]), rest["next_cursor"]) == (7, 3, None)


async def test_both_secrets_sign_after_a_rotation(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url)
    rotated = await user.send("POST", f"/{webhook['id']}/secret")
    assert rotated["secret"] != webhook["secret"]
    await user.send("POST", f"/{webhook['id']}/test", status=202)
    await eventually(lambda: receiver.requests)
    found = receiver.requests[0]
    for secret in (webhook["secret"], rotated["secret"]):
        assert Webhook(secret).verify(found.body, found.headers)["type"] == "webhook.test"
    stored = await webhooks.pool.fetchval("SELECT previous_secret FROM webhooks WHERE id::text = $1", webhook["id"])
    assert base64.b64decode(webhook["secret"].removeprefix("whsec_")) not in stored


async def test_a_paused_webhook_keeps_its_events(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url)
    await user.send("PATCH", f"/{webhook['id']}", json={"status": "paused"})
    event = user.turn()
    await webhooks.publish(event)
    assert [each["status"] for each in await user.deliveries(webhook)] == ["pending"]
    await user.send("PATCH", f"/{webhook['id']}", json={"status": "active"})
    await eventually(lambda: receiver.ids == [str(event.id)])


async def test_410_disables_the_webhook_with_a_notice(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url, "conversation.#")
    receiver.status = 410
    await webhooks.publish(user.turn())

    async def disabled() -> bool:
        found = await user.send("GET", f"/{webhook['id']}")
        return (found["status"], found["disabled_reason"]) == ("disabled", "gone")

    await eventually(disabled)
    names = [
        row["name"] for row in await webhooks.pool.fetch("SELECT name FROM outbox WHERE subject = $1", str(user.id))
    ]
    assert names == ["webhook.disabled"]
    await webhooks.publish(user.turn())
    assert len(await user.deliveries(webhook)) == 1


async def test_a_webhook_that_fails_for_too_long_is_disabled(
    open_webhooks_on: OpenWebhooks, new_database: NewDatabase, receiver: Receiver
) -> None:
    changed = {"webhooks_retry_delays": ",".join(["0.02"] * 40), "webhooks_disable_after": 0.05}
    async with open_webhooks_on(await new_database(), **changed) as webhooks:
        user = webhooks.user()
        webhook = await user.create(receiver.url)
        receiver.status = 500
        await webhooks.publish(user.turn())

        async def disabled() -> bool:
            found = await user.send("GET", f"/{webhook['id']}")
            return bool(found["disabled_reason"] == "failing")

        await eventually(disabled)


async def test_the_webhooks_of_a_user_without_the_scope_are_disabled(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    webhook = await user.create(URL)
    changed: dict[str, Any] = {"user_id": user.id, "status": "active", "changed": ["scopes"]}
    await webhooks.publish(sample(UserChanged, "user.updated", scopes=["webhooks"], **changed))
    assert (await user.send("GET", f"/{webhook['id']}"))["status"] == "active"
    await webhooks.publish(sample(UserChanged, "user.updated", scopes=["chat:write"], **changed))
    assert (await user.send("GET", f"/{webhook['id']}"))["disabled_reason"] == "scope_removed"


async def test_an_erasure_deletes_webhooks_and_every_event_about_the_user(webhooks: RunningWebhooks) -> None:
    user, admin = webhooks.user(), webhooks.user(scope="admin")
    await user.create(URL)
    shared = await admin.create(URL, "#", scope="all")
    await webhooks.publish(user.turn())
    await webhooks.publish(sample(UserErased, user_id=user.id))
    await webhooks.publish(user.turn())
    assert (await user.send("GET"))["data"] == []
    names = await webhooks.pool.fetch("SELECT name FROM events WHERE user_id = $1", user.id)
    assert {row["name"] for row in names} <= {"user.erased", "user.erasure_confirmed"}
    assert names
    confirmed = "SELECT data ->> 'service' FROM outbox WHERE name = 'user.erasure_confirmed' AND subject = $1"
    assert await webhooks.pool.fetchval(confirmed, str(user.id)) == "webhooks"
    await admin.send("DELETE", f"/{shared['id']}", status=204)


async def test_nobody_waits_while_everything_of_a_user_is_deleted(webhooks: RunningWebhooks) -> None:
    gone, other = webhooks.user(), webhooks.user()
    await gone.create(URL)
    await webhooks.publish(gone.turn())
    erased = sample(UserErased, user_id=gone.id)
    async with webhooks.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT FROM events WHERE user_id = $1 FOR UPDATE", gone.id)
            erasing = asyncio.create_task(PostgresUserWebhooks(Database(webhooks.pool)).erase(erased_data(erased)))
            await eventually(lambda: is_erased(webhooks, gone))
            await asyncio.wait_for(other.create(URL), 20)
            await gone.send("POST", status=404, json={"url": URL, "events": ["#"]})
            assert not erasing.done()
        await erasing
        assert await connection.fetchval("SELECT count(*) FROM events WHERE user_id = $1", gone.id) == 0


def erased_data(event: CloudEvent) -> UserErased:
    """Return the data of the event."""
    data = decode(event)
    assert isinstance(data, UserErased)
    return data


async def is_erased(webhooks: RunningWebhooks, user: WebhookOwner) -> bool:
    """Return whether the tombstone of a user is committed."""
    return bool(await webhooks.pool.fetchval("SELECT EXISTS (SELECT FROM user_tombstones WHERE user_id = $1)", user.id))


async def test_a_user_who_is_being_erased_gets_no_webhook(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND NOT granted"
    async with webhooks.pool.acquire() as erasure:
        async with erasure.transaction():
            await erasure.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks erasure', 0))")
            await erasure.execute("INSERT INTO user_tombstones (user_id) VALUES ($1)", user.id)
            created = asyncio.create_task(user.send("POST", status=404, json={"url": URL, "events": ["#"]}))

            async def blocked() -> bool:
                return created.done() or bool(await webhooks.pool.fetchval(waiting))

            await eventually(blocked)
        await created


@pytest.mark.parametrize("since", [0, 1_796_000_000, "1796000000", "2026-01-01", "2026-01-01T00:00:00", None])
async def test_the_times_of_a_redelivery_are_written_out_with_a_zone(webhooks: RunningWebhooks, since: object) -> None:
    owner = webhooks.user()
    webhook = await owner.create(URL)
    body = {"since": since, "until": "2026-01-02T00:00:00Z"}
    refused = await owner.send("POST", f"/{webhook['id']}/redeliver", status=422, json=body)
    assert [error["pointer"] for error in refused["errors"]] == ["/since"]
