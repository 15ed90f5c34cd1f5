"""Messages that are not shown: of deleted items, and of turns without an answer."""

from dataclasses import replace
from typing import Any

import pytest

from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn
from parley_events.cloudevents import CloudEvent

pytestmark = pytest.mark.integration

SECRET = "Xylophone"


def inserted(turn: SampleTurn, **members: Any) -> CloudEvent:
    """Return the event of a turn that nobody generated."""
    nothing: dict[str, Any] = {"usage": None, "cost": None, "provider": None, "provider_model": None}
    return turn.ended(finish_reason="inserted", **nothing, **members)


async def test_inserted_messages_are_shown_without_an_answer_that_nobody_gave(history: RunningHistory) -> None:
    first = SampleTurn(question="One")
    second = first.next(question="Two")
    third = second.next(answer="Inserted answer")
    fourth = third.next(question="And now?")
    ada, path = history.user(first.user_id), f"/api/v1/conversations/{first.conversation_id}"
    await history.publish(inserted(first, message=None), inserted(second, message=None))
    await history.publish(inserted(third, user_message=None, continues=True), fourth.started(), fourth.ended())
    shown = (await ada.get(f"{path}/messages"))["data"]
    assert [(m["role"], m["content"]) for m in shown] == [
        *(("user", "One"), ("user", "Two"), ("assistant", "Inserted answer")),
        *(("user", "And now?"), ("assistant", "I am a model.")),
    ]
    parents = [None, *(m["id"] for m in shown[:-1])]
    assert [m["parent_id"] for m in shown] == parents
    tree = (await ada.get(f"{path}/messages", tree="true"))["data"]
    assert [(m["id"], m["parent_id"]) for m in tree] == [(m["id"], m["parent_id"]) for m in shown]
    assert (shown[2]["model"], shown[2]["usage"], shown[2]["cost"]) == (None, None, None)
    assert (await ada.get(path))["message_count"] == 5
    days: dict[str, Any] = {"from": "2026-11-22", "to": "2026-11-23"}
    assert (await ada.get("/api/v1/usage", **days))["total"]["turns"] == 1


@pytest.mark.parametrize("late", [False, True])
async def test_a_deleted_message_is_gone_and_no_late_event_brings_it_back(history: RunningHistory, late: bool) -> None:
    first = SampleTurn(question=f"{SECRET} question", answer=f"{SECRET} answer")
    second = first.next()
    blank = replace(first, question="", answer="")
    redacted = [
        blank.redacted(gone=[first.turn_id], user_message={**question_of(first)}),
        blank.redacted(revision=2, gone=[first.turn_id, first.user_message_id]),
    ]
    events = [first.started(), first.ended(), second.started(), second.ended()]
    await history.publish(*(redacted + events if late else events + redacted))
    await history.publish(first.ended(), first.started(), redacted[0])
    ada, path = history.user(first.user_id), f"/api/v1/conversations/{first.conversation_id}"
    shown = (await ada.get(f"{path}/messages"))["data"]
    assert [(m["id"], m["parent_id"]) for m in shown] == [
        (str(second.user_message_id), None),
        (str(second.turn_id), str(second.user_message_id)),
    ]
    newest = await ada.get(f"{path}/messages", order="desc", limit=1)
    assert newest["data"][0]["id"] == str(second.turn_id)
    conversation = await ada.get(path)
    assert (conversation["message_count"], conversation["tokens_used"]) == (2, 114)
    assert (await ada.get("/api/v1/search", q=SECRET))["data"] == []
    assert SECRET not in str(await ada.get(f"{path}/export", format="json"))
    assert conversation["title"] != f"{SECRET} question"
    for table in ("feed", "outbox"):
        rows = await history.pool.fetch(f"SELECT name, data::text FROM {table} WHERE data::text LIKE $1", f"%{SECRET}%")
        assert rows == [], table


async def test_a_part_of_the_first_message_that_is_deleted_leaves_the_title_everywhere(history: RunningHistory) -> None:
    first = SampleTurn(question=f"{SECRET}\n\nand more", answer="Of course.")
    shorter, blank = replace(first, question="and more"), replace(first, question="")
    await history.publish(first.started(), first.ended(), shorter.redacted())
    ada, path = history.user(first.user_id), f"/api/v1/conversations/{first.conversation_id}"
    assert (await ada.get(path))["title"] == "and more"
    for table, title in await titles_of(history, first):
        assert title == "and more", table
    await history.publish(blank.redacted(revision=2, gone=[first.user_message_id]), shorter.redacted())
    assert (await ada.get(path))["title"] is None
    for table, title in await titles_of(history, first):
        assert title is None, table


async def test_a_first_message_that_has_no_text_any_more_leaves_no_title(history: RunningHistory) -> None:
    first = SampleTurn(question=SECRET)
    picture = replace(first, question="")  # another item of the message, such as an image, is left
    await history.publish(first.ended(), picture.redacted())
    ada, path = history.user(first.user_id), f"/api/v1/conversations/{first.conversation_id}"
    assert (await ada.get(path))["title"] is None
    assert await titles_of(history, first) == [("feed", None), ("outbox", None)]
    await history.publish(first.next(question="And now?").ended())
    assert (await ada.get(path))["title"] == "And now?"


async def test_the_deletion_of_an_answer_keeps_the_title(history: RunningHistory) -> None:
    first = SampleTurn(question="A question")
    await history.publish(first.ended(), replace(first, answer="").redacted(gone=[first.turn_id]))
    assert await titles_of(history, first) == [("feed", "A question"), ("outbox", "A question")]


async def titles_of(history: RunningHistory, turn: SampleTurn) -> list[tuple[str, str | None]]:
    """Return the title of the event of a conversation, wherever it is stored."""
    query = "SELECT data->>'title' FROM {} WHERE partition_key = $1 AND name = 'conversation.created'"
    key = str(turn.conversation_id)
    return [(table, await history.pool.fetchval(query.format(table), key)) for table in ("feed", "outbox")]


def question_of(turn: SampleTurn) -> dict[str, Any]:
    """Return the user message of a turn, as its events have it."""
    return {"id": turn.user_message_id, "content": turn.question, "created_at": turn.started_at}
