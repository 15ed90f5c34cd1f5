"""The work of each statement that reads conversations and messages, under custom and generic plans."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest

from history.conversations.postgres import PostgresConversationStore
from history.conversations.store import ConversationFilter
from history.erasure.postgres import _DELETED, _ERASE_CONVERSATIONS, _ERASE_ROWS, _HAS_ROWS, _LIVE, _TOMBSTONE
from history.messages.postgres import PostgresMessageStore
from history.messages.store import BranchQuery, MessagePosition
from history.turns.postgres import PostgresTurnLookup
from history_testing.app import NewDatabase
from history_testing.message_trees import MessageTree
from history_testing.recording_database import RecordingDatabase
from parley.storage.postgres import Pool, open_pool
from parley_testing.telemetry.query_plans import PLAN_MODES, explain

pytestmark = pytest.mark.integration

LIMIT = 20
MAX_WORK = 12 * LIMIT
"""A page, its turns and siblings, and the way to it. The conversation has many times more messages."""
# Many small conversations: for the average one, reading all its messages costs less than looking some up.
_OTHERS = """
WITH others AS (
    INSERT INTO conversations (id, user_id, created_at, updated_at)
    SELECT md5(n::text)::uuid, CASE WHEN n % 4 > 0 THEN md5('person ' || n % 200)::uuid ELSE $1 END, now(), now()
    FROM generate_series(1, 1000) AS n RETURNING id, user_id
)
INSERT INTO messages (id, conversation_id, user_id, number, parent_id, role, content, status, created_at)
SELECT md5(o.id::text || n)::uuid, o.id, o.user_id, n, CASE WHEN n > 1 THEN md5(o.id::text || n - 1)::uuid END,
    CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'Hello', 'completed', now()
FROM others AS o CROSS JOIN generate_series(1, 4) AS n"""
_TURNS = """
INSERT INTO turns (id, user_id, conversation_id, number, stored, status, model, started_at, finished_at)
SELECT id, user_id, conversation_id, number, true, 'completed', 'default', created_at, created_at
FROM messages WHERE role = 'assistant'"""


@dataclasses.dataclass(frozen=True)
class Filled:
    """A database with one long conversation, which has many branches, and many short ones."""

    tree: MessageTree
    pool: Pool
    database: RecordingDatabase
    length: int
    """Messages of the longest branch: the first ones of the tree."""

    @property
    def leaf(self) -> UUID:
        return self.tree.ids[self.length - 1]

    def page(self, start: int) -> list[UUID]:
        """Return the ids of a page of the long branch."""
        return self.tree.ids[start : start + LIMIT]


@pytest.fixture(scope="module", params=[(1_000, 50), pytest.param((100_000, 500), marks=pytest.mark.chaos)])
async def filled(new_database: NewDatabase, request: pytest.FixtureRequest) -> AsyncIterator[Filled]:
    length, branches = request.param
    forks: list[int | None] = [(length // branches) * n for n in range(branches)]
    tree = MessageTree([None, *range(length - 1), *forks])
    async with open_pool(await new_database(), size=1) as pool:
        for start in range(0, len(tree.ids), 800):
            await tree.store(pool, range(start, min(start + 800, len(tree.ids))))
        await pool.execute(_OTHERS, tree.user_id)
        await pool.execute(_TURNS)
        await pool.execute("ANALYZE")
        yield Filled(tree, pool, RecordingDatabase(pool), length)


async def _works(filled: Filled, call: Callable[[], Awaitable[object]]) -> dict[str, int]:
    """Return the work of each statement that a call runs, by plan; asserts that it is bounded."""
    await call()
    found: dict[str, int] = {}
    statements = filled.database.take()
    assert statements
    async with filled.database.connection() as connection:
        for number, (query, arguments) in enumerate(statements):
            for mode in PLAN_MODES:
                plan = await explain(connection, query, arguments, mode)
                assert plan.work <= MAX_WORK, f"{mode} reads {plan.work} rows:\n{query}\n{plan.summary}"
                found[f"{number} {mode}"] = plan.work
    return found


@pytest.mark.parametrize("depth", [0, 0.4, 1])
async def test_a_page_of_a_branch_costs_the_same_at_any_depth(filled: Filled, depth: float) -> None:
    store, tree = PostgresMessageStore(filled.database), filled.tree
    start = round(depth * (filled.length - LIMIT))
    stop = tree.ids[start - 1] if start else None
    leaf, page = filled.leaf, filled.page(start)

    async def ascending() -> None:
        assert await store.path_down(tree.conversation_id, leaf, stop, LIMIT) == page
        assert [one.id for one in (await store.fetch(tree.conversation_id, page, 1_000)).messages] == page

    async def descending() -> None:
        assert await store.path(tree.conversation_id, page[-1], None, LIMIT) == page[::-1]

    await _works(filled, ascending)
    await _works(filled, descending)


async def test_the_context_of_a_turn_costs_what_it_returns(filled: Filled) -> None:
    tree = filled.tree
    wanted = BranchQuery(tree.user_id, tree.conversation_id, filled.leaf, 100_000, LIMIT)

    async def branch() -> None:
        found = await PostgresMessageStore(filled.database).branch(wanted)
        assert [one.id for one in found.messages] == filled.page(filled.length - LIMIT)[::-1]

    await _works(filled, branch)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("start", [None, 700])
async def test_a_page_of_the_tree_costs_the_same_at_any_position(
    filled: Filled, start: int | None, descending: bool
) -> None:
    tree = filled.tree
    after = None
    if start is not None:
        after = MessagePosition(start + 1, "user" if start % 2 == 0 else "assistant", tree.ids[start])

    async def page() -> None:
        store = PostgresMessageStore(filled.database)
        found = await store.tree(tree.conversation_id, after, descending=descending, limit=LIMIT)
        assert len(found) == LIMIT
        await store.fetch(tree.conversation_id, found, 1_000)

    await _works(filled, page)


async def test_a_conversation_and_its_state_are_read_without_its_messages(filled: Filled) -> None:
    store, tree = PostgresConversationStore(filled.database), filled.tree
    turns = PostgresTurnLookup(filled.database)

    async def read() -> None:
        assert await store.find(tree.user_id, tree.conversation_id)
        assert await store.owner(tree.conversation_id)
        await turns.known(filled.page(700))
        await turns.digests(filled.page(700))
        await turns.has_ended(tree.user_id, tree.conversation_id, filled.leaf)

    await _works(filled, read)


async def test_a_page_of_conversations_costs_the_same_at_any_position(filled: Filled) -> None:
    store, user_id = PostgresConversationStore(filled.database), filled.tree.user_id
    wanted = ConversationFilter(user_id)
    half = (await store.page(wanted, None, 200))[-1]
    filled.database.take()

    async def page() -> None:
        assert len(await store.page(wanted, None, LIMIT)) == LIMIT
        assert len(await store.page(wanted, (half.updated_at, half.id), LIMIT)) == LIMIT
        await store.deletions((half.updated_at, half.id), LIMIT)

    await _works(filled, page)


async def test_a_step_of_a_search_for_titles_reads_no_conversations_beyond_its_end(filled: Filled) -> None:
    store, wanted = PostgresConversationStore(filled.database), ConversationFilter(filled.tree.user_id, title_part="§")
    half = (await store.page(wanted, None, 200))[-1]
    filled.database.take()

    async def step() -> None:
        until = await store.position(wanted, (half.updated_at, half.id), LIMIT)
        assert until is not None
        assert not await store.titled(wanted, (half.updated_at, half.id), until, LIMIT)

    await _works(filled, step)


async def test_an_erasure_reads_what_belongs_to_its_user(filled: Filled) -> None:
    few = "SELECT user_id, array_agg(id) AS ids FROM conversations GROUP BY 1 ORDER BY count(*) LIMIT 1"
    found = await filled.pool.fetchrow(few)
    user_id = found["user_id"]
    statements = [
        *((statement, [user_id]) for statement in (_TOMBSTONE, *_HAS_ROWS.values())),
        *((statement, [user_id, LIMIT]) for statement in (_LIVE, _DELETED, *_ERASE_ROWS.values())),
        *((statement, [found["ids"]]) for statement in _ERASE_CONVERSATIONS),
    ]
    async with filled.pool.acquire() as connection:
        for statement, arguments in statements:
            for mode in PLAN_MODES:
                plan = await explain(connection, statement, arguments, mode)
                assert plan.work <= MAX_WORK, f"{mode} reads {plan.work} rows:\n{statement}\n{plan.summary}"
