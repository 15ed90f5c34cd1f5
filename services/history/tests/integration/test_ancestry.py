"""The ancestry of messages: by the trigger, in any order of statements, and by the background task."""

import random
from collections.abc import Sequence

import asyncpg
import pytest

from history.database import Database
from history.messages.ancestry import AncestryBuilder
from history.messages.postgres import PostgresMessageStore
from history_testing.app import NewDatabase, RunningHistory
from history_testing.message_trees import MessageTree
from parley.storage.postgres import Pool, open_pool

pytestmark = pytest.mark.integration

Ancestry = list[tuple[int, int | None, int | None]]
"""Depth, parent and far ancestor of each message of a tree."""


def _random_tree(seed: int, size: int = 60) -> MessageTree:
    """Return a tree with long lines and forks, and two roots."""
    chance = random.Random(seed)
    below = [index - 1 if chance.random() < 0.8 else chance.randrange(index) for index in range(2, size)]
    return MessageTree([None, None, *below])


def _far_depth(depth: int) -> int | None:
    """Return the depth of the far ancestor: without the last digit of the skew-binary number."""
    digit, rest = 0, depth
    while rest:
        digit = 2 ** ((rest + 1).bit_length() - 1) - 1
        rest -= digit
    return depth - digit if depth else None


def _expected(tree: MessageTree) -> Ancestry:
    found: Ancestry = []
    for index, parent in enumerate(tree.parents):
        path = tree.path(index)
        far = _far_depth(len(path) - 1)
        found.append((len(path) - 1, parent, None if far is None else path[far]))
    return found


async def _stored(pool: Pool, tree: MessageTree) -> Ancestry:
    rows = await pool.fetch(
        "SELECT * FROM message_ancestry WHERE conversation_id = $1 ORDER BY array_position($2::uuid[], id)",
        tree.conversation_id,
        tree.ids,
    )
    assert [(row["id"], row["jump_depth"]) for row in rows] == [
        (tree.ids[index], _far_depth(row["depth"])) for index, row in enumerate(rows)
    ]
    return [(row["depth"], _index(tree, row["parent_id"]), _index(tree, row["jump_id"])) for row in rows]


def _index(tree: MessageTree, message_id: object) -> int | None:
    return None if message_id is None else tree.ids.index(message_id)  # type: ignore[arg-type]  # a UUID of a row


def _parts(order: Sequence[int], size: int) -> list[Sequence[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.parametrize("order", ["parents first", "children first", "shuffled"])
async def test_messages_have_their_ancestry_however_they_are_stored(
    history: RunningHistory, order: str, size: int
) -> None:
    tree = _random_tree(size)
    indexes = list(range(len(tree.ids)))
    if order == "children first":
        indexes.reverse()
    if order == "shuffled":
        random.Random(size).shuffle(indexes)
    for part in _parts(indexes, size):
        await tree.store(history.pool, part)
    assert await _stored(history.pool, tree) == _expected(tree)


async def test_a_message_without_its_parent_has_no_ancestry_yet(history: RunningHistory) -> None:
    tree = MessageTree.line(4)
    await tree.store(history.pool, [0, 2, 3])
    assert await _stored_ids(history.pool, tree) == tree.ids[:1]
    await tree.store(history.pool, [1])
    assert await _stored(history.pool, tree) == _expected(tree)


async def _stored_ids(pool: Pool, tree: MessageTree) -> list[object]:
    rows = await pool.fetch("SELECT id FROM message_ancestry WHERE conversation_id = $1", tree.conversation_id)
    return [row["id"] for row in rows]


async def test_one_statement_with_a_long_line_stores_all_its_ancestry(history: RunningHistory) -> None:
    tree = MessageTree.line(1_050)
    await tree.store(history.pool)
    assert len(await _stored_ids(history.pool, tree)) == 1_050


async def test_a_message_with_another_parent_takes_everything_below_it_along(history: RunningHistory) -> None:
    tree = _random_tree(3)
    await tree.store(history.pool)
    parents = list(tree.parents)
    parents[5] = 0
    await history.pool.execute("UPDATE messages SET parent_id = $2 WHERE id = $1", tree.ids[5], tree.ids[0])
    tree.parents = parents
    assert await _stored(history.pool, tree) == _expected(tree)


async def test_the_background_task_stores_what_earlier_versions_and_long_waits_have_left(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history.messages.ancestry.BATCH_SIZE", 50)
    old, late = _random_tree(4), MessageTree.line(1_200)
    async with open_pool(await new_database(), size=1) as pool:
        await old.store(pool)
        await pool.execute("DELETE FROM message_ancestry WHERE conversation_id = $1", old.conversation_id)
        await pool.execute("INSERT INTO ancestry_pending VALUES ($1)", old.conversation_id)
        await late.store(pool, range(1, 1_200))
        await late.store(pool, [0])
        assert 1_000 <= len(await _stored_ids(pool, late)) < 1_200

        builder = AncestryBuilder(Database(pool))
        while await builder.build_batch():
            pass
        for tree in (old, late):
            assert await _stored(pool, tree) == _expected(tree)
        assert not await pool.fetchval("SELECT count(*) FROM ancestry_pending")


async def test_pages_of_a_branch_are_the_same_with_and_without_ancestry(history: RunningHistory) -> None:
    tree = _random_tree(5)
    await tree.store(history.pool)
    store = PostgresMessageStore(Database(history.pool))
    branches = {leaf: [tree.ids[one] for one in tree.path(leaf)] for leaf in range(0, len(tree.ids), 7)}
    for _ in ("with", "without"):
        for leaf, branch in branches.items():
            for start in range(len(branch)):
                stop = branch[start - 1] if start else None
                found = await store.path_down(tree.conversation_id, tree.ids[leaf], stop, 3)
                assert found == branch[start : start + 3]
        await history.pool.execute("DELETE FROM message_ancestry WHERE conversation_id = $1", tree.conversation_id)


async def test_a_deleted_conversation_leaves_no_ancestry(history: RunningHistory) -> None:
    tree = MessageTree.line(3)
    await tree.store(history.pool)
    await history.pool.execute("DELETE FROM conversations WHERE id = $1", tree.conversation_id)
    assert await _stored_ids(history.pool, tree) == []


async def test_a_message_of_another_conversation_is_no_parent(history: RunningHistory) -> None:
    first, second = MessageTree.line(1), MessageTree.line(2)
    second.ids[0] = first.ids[0]
    await first.store(history.pool)
    await second.store(history.pool, [1])
    assert await _stored_ids(history.pool, second) == []
    with pytest.raises(asyncpg.UniqueViolationError):
        await second.store(history.pool)
