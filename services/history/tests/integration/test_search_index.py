"""The search index: which messages have a row, how they get it, and pages over many of them."""

from typing import Any
from uuid import UUID

import pytest

from history.search.postgres import CANDIDATES
from history.search.tokenizer import index_terms
from history_testing.app import ApiUser, RunningHistory
from history_testing.search_index import reindex
from history_testing.turn_events import SampleTurn, user_erased

pytestmark = pytest.mark.integration

MAKE_UNMOVED = """
UPDATE messages SET search = search_terms(user_id, content, '{}') WHERE user_id = $1"""


async def _rows(history: RunningHistory, turn: SampleTurn) -> tuple[int, int]:
    """Return the numbers of the search rows and segments of a turn's user."""
    of_messages = "SELECT count(*) FROM message_search WHERE conversation_id = $1"
    of_segments = "SELECT count(*) FROM search_segments WHERE user_id = $1"
    return (
        await history.pool.fetchval(of_messages, turn.conversation_id),
        await history.pool.fetchval(of_segments, turn.user_id),
    )


async def _pages(user: ApiUser, limit: int, **params: Any) -> list[str]:
    """Return the ids of all results."""
    found, cursor = list[str](), None
    while True:
        page = await user.get("/api/v1/search", limit=limit, **params, **({"cursor": cursor} if cursor else {}))
        found += [hit["message_id"] for hit in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_no_search_row_remains_of_a_deleted_conversation(history: RunningHistory) -> None:
    turn = SampleTurn(question="a secret")
    await history.publish(turn.ended())
    assert await _rows(history, turn) == (2, 1)
    await history.user(turn.user_id).request("DELETE", f"/api/v1/conversations/{turn.conversation_id}")
    await history.publish(turn.ended())
    assert (await _rows(history, turn))[0] == 0
    await history.pool.execute(MAKE_UNMOVED, turn.user_id)
    await reindex(history)
    assert (await _rows(history, turn))[0] == 0


async def test_no_search_row_remains_of_an_erased_user(history: RunningHistory) -> None:
    turn = SampleTurn(question="a secret")
    await history.publish(turn.ended(), user_erased(turn.user_id), turn.ended())
    assert await _rows(history, turn) == (0, 0)


async def test_messages_of_an_earlier_release_are_found_before_and_after_they_are_moved(
    history: RunningHistory,
) -> None:
    first = SampleTurn(question="apple 1", answer="no")
    earlier = [first, *(SampleTurn(first.user_id, question=f"apple {n}", answer="no") for n in range(2, 6))]
    later = [SampleTurn(first.user_id, question=f"apple {n}", answer="no") for n in range(6, 9)]
    await history.publish(*(one.ended() for one in earlier))
    await history.pool.execute("DELETE FROM search_reindexing")
    await history.pool.execute(MAKE_UNMOVED, first.user_id)
    await history.pool.execute(
        "DELETE FROM message_search WHERE message_id IN (SELECT id FROM messages WHERE user_id = $1)", first.user_id
    )
    await history.publish(*(one.ended() for one in later))
    user, wanted = history.user(first.user_id), sorted(str(one.user_message_id) for one in [*earlier, *later])
    before = await _pages(user, 2, q="apple")
    assert sorted(before) == wanted
    assert set(before[:3]) == {str(one.user_message_id) for one in later}
    await reindex(history)
    assert not await history.pool.fetchval("SELECT count(*) FROM messages WHERE search IS NOT NULL")
    assert sorted(await _pages(user, 2, q="apple")) == wanted


async def test_every_match_is_on_one_page_however_many_there_are(history: RunningHistory) -> None:
    turn = SampleTurn(question="tree 0", answer="no")
    await history.publish(turn.ended())
    ids = await _store_many(history, turn, 2 * CANDIDATES + 50)
    user = history.user(turn.user_id)
    found = await _pages(user, 100, q="tree")
    assert len(found) == len(ids) + 1
    assert set(found) == {str(turn.user_message_id), *map(str, ids)}
    newest = (await user.get("/api/v1/search", q="tree", limit=100))["data"]
    assert not {hit["message_id"] for hit in newest} & {str(one) for one in ids[: CANDIDATES // 2]}
    assert len(await _pages(user, 100, q="tree", role="assistant")) == len(ids) // 2


async def test_older_matches_follow_when_all_of_a_window_are_deleted_between_two_pages(history: RunningHistory) -> None:
    older = SampleTurn(question="tree old", answer="no")
    await history.publish(older.ended())
    await _store_many(history, older, 300)
    newer = SampleTurn(older.user_id, question="tree new", answer="no")
    await history.publish(newer.ended())
    await _store_many(history, newer, CANDIDATES + 300)
    user = history.user(older.user_id)
    cursor = (await user.get("/api/v1/search", q="tree", limit=1))["next_cursor"]
    await user.request("DELETE", f"/api/v1/conversations/{newer.conversation_id}")
    assert len((await user.get("/api/v1/search", q="tree", limit=100, cursor=cursor))["data"]) == 100


async def _store_many(history: RunningHistory, turn: SampleTurn, count: int) -> list[UUID]:
    """Store messages with one word that is the same."""
    rows = await history.pool.fetch(
        """
        INSERT INTO messages (id, conversation_id, user_id, number, role, content, status, created_at)
        SELECT gen_random_uuid(), $1, $2, n, CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, 'tree ' || n,
            'completed', now() FROM generate_series(1, $3) AS n RETURNING id, content""",
        turn.conversation_id, turn.user_id, count,
    )  # fmt: skip
    for start in range(0, count, 100):
        some = rows[start : start + 100]
        terms = [index_terms(row["content"]) for row in some]
        await history.pool.execute("SELECT index_messages($1::uuid[], $2::text[])", [r["id"] for r in some], terms)
    return [row["id"] for row in rows]


async def test_a_message_that_is_indexed_twice_has_one_row_with_its_last_terms(history: RunningHistory) -> None:
    turn = SampleTurn(question="first", answer="no")
    await history.publish(turn.started(), turn.ended(), turn.ended())
    assert await _rows(history, turn) == (2, 1)
    again = [turn.user_message_id, turn.user_message_id]
    await history.pool.execute("SELECT index_messages($1::uuid[], $2::text[])", again, ["'~second':1", "'~third':1"])
    assert await _rows(history, turn) == (2, 1)
    user = history.user(turn.user_id)
    assert [len(await _pages(user, 10, q=q)) for q in ("first", "second", "third")] == [0, 0, 1]


async def test_the_search_uses_its_index_with_every_plan(history: RunningHistory) -> None:
    for mode in ("force_generic_plan", "force_custom_plan"):
        async with history.pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            await connection.execute(
                "PREPARE find (tsquery) AS SELECT message_id FROM message_search WHERE terms @@ $1"
            )
            plan = await connection.fetch("EXPLAIN EXECUTE find ('''1:cat''')")
            await connection.execute("DEALLOCATE find")
        assert "message_search_terms" in "\n".join(row[0] for row in plan), mode
