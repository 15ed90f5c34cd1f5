"""Event feed route, over a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import orjson
import pytest

from history.database import Database
from history.event_feed.postgres import PostgresFeedStore
from history.event_feed.service import MAX_BATCH_LENGTH
from history_testing.app import NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn
from parley.web.server import free_socket, make_server
from parley_testing import eventually
from parley_testing.http.client import open_http

pytestmark = pytest.mark.integration

PATH = "/api/v1/events"


class FeedReader:
    """Collects the blocks of an event stream."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.headers = url, {"Authorization": f"Bearer {token}"}
        self.blocks: list[dict[str, str]] = []
        self.status = 0
        self.ended = asyncio.Event()

    async def read(self, **params: str) -> None:
        async with (
            open_http() as client,
            client.stream("GET", f"{self.url}{PATH}", params=params, headers=self.headers) as response,
        ):
            self.status = response.status_code
            block: dict[str, str] = {}
            async for line in response.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                else:
                    self.blocks.append(block)
                    block = {}
        self.ended.set()

    @property
    def events(self) -> list[dict[str, str]]:
        return [block for block in self.blocks if "event" in block]

    @contextlib.asynccontextmanager
    async def reading(self, **params: str) -> AsyncIterator["FeedReader"]:
        task = asyncio.create_task(self.read(**params))
        try:
            await eventually(lambda: self.blocks)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _served(history: RunningHistory) -> AsyncIterator[str]:
    bound = free_socket()
    server = make_server(history.app, history.settings)
    server.config.lifespan = "off"
    running = asyncio.create_task(server.serve(sockets=[bound]))
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def url(history: RunningHistory) -> AsyncIterator[str]:
    async with _served(history) as found:
        yield found


def _reader(history: RunningHistory, url: str, user_id: UUID) -> FeedReader:
    return FeedReader(url, history.issuer.token(user_id))


async def test_a_reader_gets_only_its_own_events_as_they_are_committed(history: RunningHistory, url: str) -> None:
    one, other = SampleTurn(), SampleTurn()
    async with _reader(history, url, one.user_id).reading() as reader:
        assert "id" in reader.blocks[0]
        await history.publish(one.started(), other.ended(), one.ended())
        path = f"/api/v1/conversations/{one.conversation_id}"
        await history.user(one.user_id).request("PATCH", path, json={"title": "New"})
        await eventually(lambda: len(reader.events) == 4)
    assert [e["event"] for e in reader.events] == [
        "conversation.created",
        "conversation.turn.started",
        "conversation.turn.completed",
        "conversation.updated",
    ]
    updated = orjson.loads(reader.events[-1]["data"])
    assert updated["type"] == "io.parley.conversation.updated.v1"
    assert (updated["source"], updated["subject"]) == ("/services/history", str(one.conversation_id))
    assert updated["data"]["changed"] == {"title": "New"}
    assert updated["sequence"] == "00000000000000000002"
    stored = await history.pool.fetch("SELECT id FROM outbox WHERE partition_key = $1", str(one.conversation_id))
    assert updated["id"] in {str(row["id"]) for row in stored}


async def test_a_reader_that_reconnects_continues_after_its_cursor(history: RunningHistory, url: str) -> None:
    one = SampleTurn()
    async with _reader(history, url, one.user_id).reading() as first:
        await history.publish(one.started())
        await eventually(lambda: len(first.events) == 2)
    await history.publish(one.ended())
    cursor = first.events[0]["id"]
    async with _reader(history, url, one.user_id).reading(after=cursor) as second:
        await eventually(lambda: len(second.events) == 2)
    assert [e["event"] for e in second.events] == ["conversation.turn.started", "conversation.turn.completed"]
    assert second.events[0]["id"] == first.events[1]["id"]


async def test_the_first_block_holds_a_cursor_to_resume_from_before_any_event(
    history: RunningHistory, url: str
) -> None:
    one = SampleTurn()
    async with _reader(history, url, one.user_id).reading() as first:
        pass
    await history.publish(one.ended())
    async with _reader(history, url, one.user_id).reading(after=first.blocks[0]["id"]) as second:
        await eventually(lambda: len(second.events) == 2)


async def test_events_stored_by_another_process_arrive(open_history_on: OpenHistory, new_database: NewDatabase) -> None:
    dsn, one = await new_database(), SampleTurn()
    async with (
        open_history_on(dsn) as stores,
        open_history_on(dsn, run_consumer=False) as shows,
        _served(shows) as url,
        _reader(shows, url, one.user_id).reading() as reader,
    ):
        await stores.publish(one.ended())
        await eventually(lambda: len(reader.events) == 2)


async def test_a_cursor_older_than_the_feed_is_expired_and_one_of_another_user_invalid(
    history: RunningHistory, url: str
) -> None:
    one = SampleTurn()
    async with _reader(history, url, one.user_id).reading() as reader:
        await history.publish(one.started(), one.ended())
        await eventually(lambda: len(reader.events) == 3)
    await history.pool.execute("DELETE FROM feed WHERE user_id = $1 AND position <= 2", one.user_id)
    ada = history.user(one.user_id)
    assert (await ada.get(PATH, 410, after=reader.events[0]["id"]))["code"] == "cursor_expired"
    async with _reader(history, url, one.user_id).reading(after=reader.events[1]["id"]) as again:
        await eventually(lambda: len(again.events) == 1)
    for cursor in ("rubbish", reader.events[0]["id"]):
        assert (await history.user().get(PATH, 400, after=cursor))["code"] == "invalid_cursor"


async def test_long_events_are_read_a_few_at_a_time(history: RunningHistory, url: str) -> None:
    one = SampleTurn(answer="long " * 80_000)
    turns = [one]
    for _ in range(3):
        turns.append(turns[-1].next(answer=one.answer))
    async with _reader(history, url, one.user_id).reading() as before:
        pass
    await history.publish(*(turn.ended() for turn in turns))
    batch = await PostgresFeedStore(Database(history.pool)).after(one.user_id, 0, 100, MAX_BATCH_LENGTH)
    assert (len(batch.entries), batch.is_full) == (4, True)  # the event of the conversation is short
    async with _reader(history, url, one.user_id).reading(after=before.blocks[0]["id"]) as reader:
        await eventually(lambda: len(reader.events) == 5)


async def test_the_events_of_a_deleted_conversation_are_no_longer_sent(history: RunningHistory, url: str) -> None:
    one = SampleTurn(answer="a secret")
    async with _reader(history, url, one.user_id).reading() as before:
        pass
    await history.publish(one.ended())
    await history.user(one.user_id).request("DELETE", f"/api/v1/conversations/{one.conversation_id}")
    async with _reader(history, url, one.user_id).reading(after=before.blocks[0]["id"]) as reader:
        await eventually(lambda: reader.events)
    assert [e["event"] for e in reader.events] == ["conversation.deleted"]


async def test_the_feed_needs_its_own_scope(history: RunningHistory) -> None:
    assert (await history.user(scope="history:read").get(PATH, 403))["code"] == "insufficient_scope"


async def test_a_draining_process_ends_its_feeds_with_a_draining_event(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    one = SampleTurn()
    async with open_history_on(await new_database()) as history, _served(history) as url:
        async with _reader(history, url, one.user_id).reading() as reader:
            history.app.state.runtime.lifecycle.start_draining()
            await asyncio.wait_for(reader.ended.wait(), 5)
        assert reader.events == [{"event": "draining", "data": '{"retry_after_ms":500}'}]
