"""What has served its time goes."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from parley_testing import eventually

pytestmark = pytest.mark.integration


async def test_a_deleted_conversation_is_purged_after_its_retention_and_not_before(
    open_world: Any, new_database: Callable[[], Awaitable[str]], turn: Callable[..., Any]
) -> None:
    gone, kept = turn(question="secret one", metadata={"secret": "yes"}), turn(question="kept")
    async with open_world(await new_database(), purge_interval=0.1) as world:
        await world.tell(gone.ended(), kept.ended())
        for one in (gone, kept):
            await world.person(one.user_id).ask("DELETE", f"/api/v1/conversations/{one.conversation_id}")
        await world.pool.execute(
            "UPDATE conversation_tombstones SET purge_after = now() WHERE conversation_id = $1", gone.conversation_id
        )

        async def left() -> list[str]:
            return [row["content"] for row in await world.pool.fetch("SELECT content FROM messages")]

        await eventually(lambda: _is(left, ["kept", "I am a model."]))
        for table in ("outbox", "feed", "turns"):
            rows = await world.pool.fetch(f"SELECT t::text AS row FROM {table} AS t")
            assert not [row for row in rows if "secret" in row["row"]], table
        await world.tell(gone.ended())
        await world.person(gone.user_id).get(f"/api/v1/conversations/{gone.conversation_id}", 404)
        assert len(await left()) == 2


async def _is(probe: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> bool:
    return sorted(await probe()) == sorted(wanted)


async def test_the_old_end_of_feed_and_inbox_is_removed(
    open_world: Any, new_database: Callable[[], Awaitable[str]], turn: Callable[..., Any]
) -> None:
    one = turn()
    async with open_world(await new_database(), purge_interval=0.1) as world:
        await world.tell(one.ended())
        await world.pool.execute("UPDATE feed SET stored_at = now() - interval '4 days' WHERE position = 1")
        await world.pool.execute("UPDATE inbox SET received_at = now() - interval '31 days'")
        await eventually(lambda: _empty(world, "inbox"))
        await eventually(lambda: _positions(world))


async def _empty(world: Any, table: str) -> bool:
    return not await world.pool.fetch(f"SELECT 1 FROM {table}")


async def _positions(world: Any) -> bool:
    return [row["position"] for row in await world.pool.fetch("SELECT position FROM feed")] == [2]
