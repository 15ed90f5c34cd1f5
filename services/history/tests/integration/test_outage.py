"""Postgres away: requests are refused at once, events wait and nothing is lost."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from parley.messaging.bus import PublishError
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_testing import eventually

pytestmark = pytest.mark.integration


async def test_without_postgres_lists_answer_503_and_events_wait_until_it_is_back(
    backends: Any, open_world: Any, turn: Callable[..., Any], tmp_path: Path
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=True)
    await server.start()
    try:
        async with open_world(server.url) as world:
            one = turn()
            ada = world.person(one.user_id)
            await world.tell(one.started())
            await server.stop()
            with pytest.raises((OSError, asyncpg.PostgresError)):
                await asyncpg.connect(server.url, timeout=2)

            began = time.monotonic()
            answer = await ada.ask("GET", "/api/v1/conversations")
            assert (answer.status_code, answer.json()["code"]) == (503, "dependency_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert time.monotonic() - began < 5
            for _ in range(12):
                with pytest.raises(PublishError):
                    await world.tell(one.ended())
            assert not world.bus.dead_letters

            await server.start()
            await eventually(lambda: _published(world, one.ended()), within=15)
            found = await ada.get(f"/api/v1/conversations/{one.conversation_id}/messages")
            assert [m["status"] for m in found["data"]] == ["completed", "completed"]
    finally:
        await server.stop()


async def _published(world: Any, event: Any) -> bool:
    try:
        await world.tell(event)
    except PublishError:
        return False
    return True
