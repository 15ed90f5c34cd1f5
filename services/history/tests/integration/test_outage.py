"""An unavailable Postgres: requests fail fast, events wait, and nothing is lost."""

import time
from pathlib import Path

import asyncpg
import pytest

from history_testing.app import ApiUser, NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn
from parley.messaging.bus import PublishError
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_events.cloudevents import CloudEvent
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.faults.read_only import read_only_database

pytestmark = pytest.mark.integration


async def test_without_postgres_lists_return_503_and_events_wait_for_its_return(
    backends: SharedBackends, open_history_on: OpenHistory, tmp_path: Path
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=True)
    await server.start()
    try:
        async with open_history_on(server.url) as history:
            one = SampleTurn()
            ada = history.user(one.user_id)
            await history.publish(one.started())
            await server.stop()
            with pytest.raises((OSError, asyncpg.PostgresError)):
                await asyncpg.connect(server.url, timeout=2)

            began = time.monotonic()
            answer = await ada.request("GET", "/api/v1/conversations")
            assert (answer.status_code, answer.json()["code"]) == (503, "dependency_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert time.monotonic() - began < 20
            for _ in range(12):
                with pytest.raises(PublishError):
                    await history.publish(one.ended())
            assert not history.bus.dead_letters

            await server.start()
            await eventually(lambda: _published(history, one.ended()), within=20)
            found = await ada.get(f"/api/v1/conversations/{one.conversation_id}/messages")
            assert [m["status"] for m in found["data"]] == ["completed", "completed"]
    finally:
        await server.stop()


async def _published(history: RunningHistory, event: CloudEvent) -> bool:
    try:
        await history.publish(event)
    except PublishError:
        return False
    return True


async def test_a_read_only_database_serves_reads_and_neither_loses_events_nor_needs_a_restart(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    dsn = await new_database()
    async with open_history_on(dsn) as history:
        one = SampleTurn()
        ada, path = history.user(one.user_id), f"/api/v1/conversations/{one.conversation_id}"
        await history.publish(one.started())
        async with read_only_database(dsn):
            await eventually(lambda: _readable(ada, path))
            answer = await ada.request("PATCH", path, json={"title": "Mine"})
            assert (answer.status_code, answer.json()["code"]) == (503, "dependency_unavailable")
            assert answer.headers["retry-after"] == "1"
            for _ in range(12):
                with pytest.raises(PublishError):
                    await history.publish(one.ended())
            assert not history.bus.dead_letters
            assert (await ada.request("GET", path)).status_code == 200
        await eventually(lambda: _published(history, one.ended()))
        assert (await ada.request("PATCH", path, json={"title": "Mine"})).status_code == 200


async def _readable(user: ApiUser, path: str) -> bool:
    return bool((await user.request("GET", path)).status_code == 200)
