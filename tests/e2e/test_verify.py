"""`parley verify` on a running system: it finds and repairs deleted, doubled and altered turns."""

import asyncpg
import pytest

from parley.ids import new_id
from parley_testing import eventually
from parley_testing.http.client import open_http, register
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.separate_processes import SeparateStack

pytestmark = pytest.mark.e2e


async def verify(stack: SeparateStack, *arguments: str) -> tuple[int, str]:
    return await run_parley("verify", "--settle", "0", *arguments, settings=stack.settings_of("chat"))


async def test_deleted_doubled_and_altered_turns_are_found_and_repaired(separate: SeparateStack) -> None:
    async with open_http(separate.url) as http:
        user = await register(http)
        turns = [(await user.chat(f"turn {i} [[fake tokens=3]]"))["turn_id"] for i in range(4)]
    history = await asyncpg.connect(separate.database_urls["history"])
    await eventually(lambda: contents(history, turns, count=4), within=20)

    async def agrees() -> bool:
        status, output = await verify(separate)
        return status == 0 and " 0 wrong" in output

    await eventually(agrees, within=20)

    await history.execute("DELETE FROM messages WHERE id = $1::uuid", turns[0])
    await history.execute("UPDATE messages SET content = 'changed' WHERE id = $1::uuid", turns[1])
    chat = await asyncpg.connect(separate.database_urls["chat"])
    await chat.execute(
        "INSERT INTO outbox (id, name, subject, partition_key, sequence, data, sent_at) "
        "SELECT $2, name, subject, 'double', 1, data, now() FROM outbox "
        "WHERE name = 'conversation.turn.completed' AND data ->> 'turn_id' = $1",
        turns[2],
        new_id(),
    )

    status, output = await verify(separate, "--repair")
    assert status == 1
    assert {f"missing {turns[0]}", f"altered {turns[1]}", f"double {turns[2]}"} <= set(output.splitlines())

    await eventually(lambda: contents(history, turns, count=4), within=20)

    async def only_the_double_is_left() -> bool:
        _, found = await verify(separate)
        return f"double {turns[2]}" in found and " 1 wrong" in found

    await eventually(only_the_double_is_left, within=20)
    await chat.execute("DELETE FROM outbox WHERE partition_key = 'double'")
    await chat.close()
    await history.close()


async def contents(history: asyncpg.Connection, turns: list[str], *, count: int) -> bool:
    """Return whether history has this many of the answers, as the provider gave them."""
    query = "SELECT count(*) FROM messages WHERE id = ANY ($1::uuid[]) AND content = 't1 t2 t3'"
    return bool(await history.fetchval(query, turns) == count)
