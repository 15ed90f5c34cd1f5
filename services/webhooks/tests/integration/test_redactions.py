"""Stored events after their user deleted items of a conversation."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from prometheus_client import CollectorRegistry

from parley import times
from parley.ids import new_id
from parley.process.tasks import background
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationCreated, TurnEnded, TurnRedacted, TurnStarted, UserErased
from parley_events.testing.samples import sample
from parley_testing.waiting import eventually
from webhooks.database import Database
from webhooks.erasure.postgres import PostgresRedactions, PostgresUserWebhooks
from webhooks.intake.consumer import EventIntake
from webhooks.intake.postgres import PostgresIntake
from webhooks.intake.wanted import WantedEvents
from webhooks.retention.purge import EventPurger
from webhooks_testing.app import NewDatabase, OpenWebhooks, RunningWebhooks
from webhooks_testing.receiver import Receiver

pytestmark = pytest.mark.integration

SECRET = "Xylophone"
CREATED_AT = "2026-11-22T10:00:00.000Z"


def events_of(user_id: UUID, text: str = SECRET, conversation_id: UUID | None = None) -> list[CloudEvent]:
    """Return the events of a conversation and its first turn, and the one that says that its user deleted all of it."""
    turn_id = new_id()
    ids: dict[str, Any] = {"user_id": user_id, "conversation_id": conversation_id or new_id()}
    question = {"id": new_id(), "content": text, "created_at": CREATED_AT}
    answer = {"id": turn_id, "content": text, "created_at": CREATED_AT}
    turn: dict[str, Any] = {**ids, "turn_id": turn_id, "parent_id": None, "user_message": question}
    blank = {"user_message": {**question, "content": ""}, "message": {**answer, "content": ""}, "revision": 2}
    return [
        sample(ConversationCreated, **ids, title=text),
        sample(TurnStarted, **turn),
        sample(TurnEnded, **turn, message=answer),
        sample(TurnRedacted, **{**turn, **blank}, deleted_message_ids=[question["id"], turn_id]),
    ]


def intake_of(webhooks: RunningWebhooks, registry: CollectorRegistry | None = None) -> EventIntake:
    database = Database(webhooks.pool)
    return EventIntake(
        PostgresIntake(database),
        PostgresUserWebhooks(database),
        PostgresRedactions(database),
        WantedEvents(database),
        registry or CollectorRegistry(),
        wake=lambda: None,
        wake_relay=lambda: None,
    )


@pytest.mark.parametrize("batched", [False, True])
async def test_what_is_deleted_leaves_the_stored_events_and_is_not_sent_again(
    webhooks: RunningWebhooks, receiver: Receiver, batched: bool
) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url, "conversation.created", "conversation.turn.completed")
    events, kept = events_of(user.id), events_of(user.id, "Kept")[:3]
    created, started, ended, redacted = events
    if batched:
        intake = intake_of(webhooks)
        assert await intake.handle_batch([*events, *kept]) == []
        assert await intake.handle_batch([redacted, started, ended]) == []
    else:
        await webhooks.publish(*events, *kept, redacted)
    query = "SELECT id, body FROM events WHERE user_id = $1"
    stored = {row["id"]: row["body"] for row in await webhooks.pool.fetch(query, user.id)}
    assert stored.keys() == {created.id, ended.id, kept[0].id, kept[2].id}, "the webhook wants no redactions"
    assert SECRET.encode() not in b"".join(stored.values())
    assert orjson.loads(stored[created.id])["data"] == {**created.json(), "title": None}
    text = {name: {**ended.json()[name], "content": ""} for name in ("user_message", "message")}
    assert orjson.loads(stored[ended.id])["data"] == {**ended.json(), **text}
    assert orjson.loads(stored[kept[2].id])["data"] == kept[2].json()

    await eventually(lambda: len(receiver.ids) == 4)
    (delivery,) = await user.deliveries(webhook, event_id=str(ended.id))
    await user.send("POST", f"/{webhook['id']}/deliveries/{delivery['id']}/redeliver", status=202)
    await eventually(lambda: receiver.ids.count(str(ended.id)) == 2)
    assert SECRET.encode() not in receiver.requests[-1].body


async def bodies_of(webhooks: RunningWebhooks, user_id: UUID) -> dict[UUID, Any]:
    """Return the data of the stored events of a user."""
    rows = await webhooks.pool.fetch("SELECT id, body FROM events WHERE user_id = $1", user_id)
    return {row["id"]: orjson.loads(row["body"])["data"] for row in rows}


async def test_an_event_that_arrives_after_the_deletion_has_nothing_of_what_was_deleted(
    webhooks: RunningWebhooks,
) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    created, started, ended, redacted = events_of(user.id)
    intake = intake_of(webhooks)
    await intake.handle(redacted)
    assert await intake.handle_batch([started]) == []
    await intake.handle(created)
    await intake.handle(ended)
    await intake.handle(redacted)
    found = await bodies_of(webhooks, user.id)
    assert found.keys() == {created.id, started.id, ended.id, redacted.id}
    assert SECRET not in repr(found)
    assert found[created.id] == {**created.json(), "title": None}
    text = {name: {**ended.json()[name], "content": ""} for name in ("user_message", "message")}
    assert found[ended.id] == {**ended.json(), **text}
    assert found[redacted.id] == redacted.json()


async def test_a_late_event_keeps_the_texts_that_the_deletion_left(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    created, started, ended, _ = events_of(user.id)
    question, answer = ended.json()["user_message"], {**ended.json()["message"], "content": ""}
    members: dict[str, Any] = {**ended.json(), "message": answer, "revision": 1}
    redacted = sample(TurnRedacted, **members, deleted_message_ids=[answer["id"]])
    intake = intake_of(webhooks)
    await intake.handle_batch([redacted])
    await intake.handle_batch([created, started, ended])
    found = await bodies_of(webhooks, user.id)
    assert found[created.id] == created.json()
    assert found[started.id] == started.json()
    assert (found[ended.id]["user_message"], found[ended.id]["message"]["content"]) == (question, "")


@pytest.mark.parametrize(("left", "has_title"), [("Kept\n\nkept", False), (f"{SECRET}\nkept", True)])
async def test_a_title_goes_with_the_part_of_the_first_message_that_it_is_made_of(
    webhooks: RunningWebhooks, left: str, has_title: bool
) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    created, _, ended, _ = events_of(user.id)
    shorter = {**ended.json(), "user_message": {**ended.json()["user_message"], "content": left}, "revision": 1}
    redacted = sample(TurnRedacted, **shorter, deleted_message_ids=[])
    intake = intake_of(webhooks)
    for event in (created, ended, redacted):
        await intake.handle(event)
    found = await bodies_of(webhooks, user.id)
    assert found[created.id]["title"] == (SECRET if has_title else None)
    assert found[ended.id]["user_message"]["content"] == left


async def test_the_title_of_an_event_that_arrives_after_a_part_of_its_message_was_deleted_is_left_out(
    webhooks: RunningWebhooks,
) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    created, _, ended, _ = events_of(user.id)
    shorter = {**ended.json(), "user_message": {**ended.json()["user_message"], "content": "Kept"}, "revision": 1}
    intake = intake_of(webhooks)
    await intake.handle(sample(TurnRedacted, **shorter, deleted_message_ids=[]))
    await intake.handle(created)
    assert (await bodies_of(webhooks, user.id))[created.id]["title"] is None


async def purge(webhooks: RunningWebhooks, user_id: UUID) -> None:
    """Purge the deletions of a user, as if the days that they are kept were over."""
    age = "UPDATE redactions SET redacted_at = now() - interval '31 days' WHERE user_id = $1"
    await webhooks.pool.execute(age, user_id)
    purger = EventPurger(Database(webhooks.pool), retention_days=30)
    async with background("purge", purger.run, service="webhooks"):
        count = "SELECT count(*) FROM redactions WHERE user_id = $1"
        await eventually(lambda: _is_zero(webhooks, count, user_id))


async def _is_zero(webhooks: RunningWebhooks, query: str, user_id: UUID) -> bool:
    return bool(await webhooks.pool.fetchval(query, user_id) == 0)


async def test_an_event_from_before_a_deletion_that_is_forgotten_has_no_texts(
    open_webhooks_on: OpenWebhooks, new_database: NewDatabase
) -> None:
    async with open_webhooks_on(await new_database()) as webhooks:
        user = webhooks.user()
        await user.create("http://127.0.0.1:9/", "#")
        intake = intake_of(webhooks)
        *events, redacted = events_of(user.id)
        now = times.now()
        created, started, ended = (replace(event, time=now - timedelta(days=40)) for event in events)
        await intake.handle(redacted)
        await purge(webhooks, user.id)
        recent = replace(events_of(user.id, "Kept")[2], time=now - timedelta(days=20))
        for event in (created, started, ended, recent):
            await intake.handle(event)
        found = await bodies_of(webhooks, user.id)
    assert SECRET not in repr(found)
    assert found.keys() == {redacted.id, created.id, started.id, ended.id, recent.id}
    assert found[created.id] == {**created.json(), "title": None}
    text = {name: {**ended.json()[name], "content": ""} for name in ("user_message", "message")}
    assert found[ended.id] == {**ended.json(), **text}
    assert found[recent.id] == recent.json()


async def test_an_old_event_keeps_its_texts_while_no_deletion_is_forgotten(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    ended = replace(events_of(user.id)[2], time=times.now() - timedelta(days=400))
    await intake_of(webhooks).handle(ended)
    assert (await bodies_of(webhooks, user.id))[ended.id] == ended.json()


async def test_an_older_deletion_that_arrives_later_brings_nothing_back(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    _, _, ended, redacted = events_of(user.id)
    members: dict[str, Any] = {**redacted.json(), "message": ended.json()["message"], "revision": 1}
    older = sample(TurnRedacted, **members)
    intake = intake_of(webhooks)
    for event in (ended, redacted, older):
        await intake.handle(event)
    found = await bodies_of(webhooks, user.id)
    assert found.keys() == {ended.id, redacted.id, older.id}
    assert SECRET not in repr(found)


async def test_an_event_that_comes_again_makes_no_delivery(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    registry = CollectorRegistry()
    intake, ended = intake_of(webhooks, registry), events_of(user.id)[2]
    for _ in range(2):
        await intake.handle(ended)
    assert registry.get_sample_value("webhooks_deliveries_created_total") == 1


async def test_a_deletion_is_remembered_from_its_last_change_on(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    redacted = events_of(user.id)[3]
    intake = intake_of(webhooks)
    await intake.handle(redacted)
    await webhooks.pool.execute("UPDATE redactions SET redacted_at = now() - interval '29 days'")
    await intake.handle(sample(TurnRedacted, **{**redacted.json(), "revision": redacted.json()["revision"] + 1}))
    age = "SELECT extract(epoch FROM now() - redacted_at) FROM redactions WHERE user_id = $1"
    assert await webhooks.pool.fetchval(age, user.id) < 3600


async def test_the_erasure_of_a_user_forgets_their_deletions(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    redacted = events_of(user.id)[3]
    intake = intake_of(webhooks)
    await intake.handle(redacted)
    count = "SELECT count(*) FROM redactions WHERE user_id = $1"
    assert await webhooks.pool.fetchval(count, user.id) == 1
    await intake.handle(sample(UserErased, user_id=user.id))
    await intake.handle(redacted)
    assert await webhooks.pool.fetchval(count, user.id) == 0


async def test_another_turn_that_names_the_changed_one_keeps_its_text(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    await user.create("http://127.0.0.1:9/", "#")
    first = events_of(user.id)
    ids: dict[str, Any] = {
        "user_id": user.id,
        "conversation_id": first[2].json()["conversation_id"],
        "turn_id": new_id(),
    }
    second = sample(TurnEnded, **ids, parent_id=first[2].json()["turn_id"])
    await webhooks.publish(*first[:3], second, first[3])
    body = await webhooks.pool.fetchval("SELECT body FROM events WHERE id = $1", second.id)
    assert orjson.loads(body)["data"] == second.json()
