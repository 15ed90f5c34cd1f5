"""Ended turns that WebSockets send."""

import asyncio

import pytest

from chat.api.ended_turns import MAX_ENDED_TURNS_OF_USER, EndedTurns
from chat.errors import TurnNotFound
from chat.model import Turn
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import make_request
from parley.ids import new_id
from parley_testing import eventually


async def test_a_user_is_sent_few_ended_turns_at_a_time_beside_those_of_others(bench: ServiceBench) -> None:
    ended, sent, go = EndedTurns(), list[str](), asyncio.Event()
    turns = [await bench.ended(await bench.service.open(make_request(user_id=new_id()))) for _ in range(2)]
    greedy, other = turns

    async def send(name: str, found: Turn) -> None:
        async with ended.open(bench.service, found.user_id, found.id) as turn:
            assert turn.content == "Hello"
            sent.append(name)
            await go.wait()

    tasks = [asyncio.create_task(send("greedy", greedy)) for _ in range(20)]
    tasks.append(asyncio.create_task(send("other", other)))
    await eventually(lambda: "other" in sent)
    assert sorted(sent) == [*["greedy"] * MAX_ENDED_TURNS_OF_USER, "other"]
    go.set()
    await asyncio.gather(*tasks)
    assert len(sent) == len(tasks)


async def test_turns_of_others_are_not_found(bench: ServiceBench) -> None:
    turn = await bench.ended(await bench.service.open(make_request()))
    with pytest.raises(TurnNotFound):
        async with EndedTurns().open(bench.service, new_id(), turn.id):
            pass
