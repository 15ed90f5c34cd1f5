"""Use cases of chat on in-memory stores."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from chat.admission.plans import ChatPlan
from chat.api.request_parsing import opened_headers
from chat.errors import TooManyOpenTurns, TurnNotFound
from chat.generation import AnswerChunk
from chat.model import IdempotencyKey, LogEntry, NewTurn, Turn
from chat.running.supervisor import MIN_TURNS_OF_USER
from chat.running.turn_log import TurnLog
from chat.running.turn_updates import StreamStarted, TurnFinished
from chat.running.turn_view import TurnView
from chat.turn_store import AdmissionResult
from chat_testing.bench import EngineBench
from chat_testing.generator import ScriptedGenerator, answer_of
from chat_testing.log_store import InMemoryLogStore
from chat_testing.service_bench import ServiceBench
from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turns import MODEL, ended_turn, make_catalogue, make_request, make_turn
from parley.errors import Draining, Overloaded, RateLimited
from parley.ids import new_id
from parley_testing import eventually

ENDLESS = ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True)


@dataclass
class ReadLater(InMemoryLogStore):
    """Logs that have a reader from the second check on."""

    checks: int = 0

    async def is_read(self, turn_id: UUID) -> bool:
        self.checks += 1
        return self.checks > 1


@pytest.fixture
async def bench() -> AsyncIterator[ServiceBench]:
    found = ServiceBench(EngineBench(generator=ScriptedGenerator(answer_of("Hello"))))
    async with found.engine.supervisor.open():
        yield found


@pytest.fixture
async def endless() -> AsyncIterator[ServiceBench]:
    """A service whose answers never end by themselves."""
    found = ServiceBench(EngineBench(generator=ENDLESS, limit=1))
    async with found.engine.supervisor.open():
        yield found


async def test_a_turn_is_not_taken_for_a_lost_one_between_its_admission_and_its_start() -> None:
    class ScannedTurnStore(InMemoryTurnStore):
        async def admit(self, turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> AdmissionResult:
            result = await super().admit(turn, runner_id, key)
            taken.extend(
                await self.take_over(runner_id, await self.left_behind(runner_id, engine.supervisor.owned(), 9))
            )
            return result

    taken: list[Turn] = []
    engine = EngineBench(turns=ScannedTurnStore(), generator=ScriptedGenerator(answer_of("Hello")))
    bench = ServiceBench(engine)
    async with engine.supervisor.open():
        turn = await bench.ended(await bench.service.open(make_request()))
    assert (turn.status, turn.content, taken) == ("completed", "Hello", [])


async def test_an_opened_turn_is_admitted_and_run(bench: ServiceBench) -> None:
    opened = await bench.service.open(make_request())
    assert (opened.turn.status, opened.replayed) == ("running", False)
    turn = await bench.ended(opened)
    assert (turn.status, turn.content) == ("completed", "Hello")


async def test_a_plan_with_many_streams_has_as_many_turns() -> None:
    plan, request = ChatPlan(tokens_per_minute=None, streams=MIN_TURNS_OF_USER + 1), make_request(user_id=new_id())
    found = ServiceBench(EngineBench(generator=ENDLESS, limit=10 * MIN_TURNS_OF_USER), plan=plan)
    async with found.engine.supervisor.open():
        for _ in range(MIN_TURNS_OF_USER + 1):
            await found.service.open(request)
        with pytest.raises(TooManyOpenTurns):
            await found.service.open(request)


async def test_a_repeated_idempotency_key_opens_the_same_turn(bench: ServiceBench) -> None:
    user_id = new_id()
    request = make_request(user_id=user_id, key=IdempotencyKey(user_id, "/chat", "k", b"d"))
    first, second = await bench.service.open(request), await bench.service.open(request)
    assert (second.turn.id, second.replayed) == (first.turn.id, True)
    assert len(bench.engine.turns.turns) == 1


async def test_the_rest_of_the_token_limit_is_in_the_headers_of_a_turn_and_of_a_refusal(bench: ServiceBench) -> None:
    limited = ServiceBench(bench.engine, plan=ChatPlan(tokens_per_minute=100))
    opened = await limited.service.open(make_request())
    headers = {name: value for name, value in opened_headers(opened).items() if name.endswith("-tokens")}
    assert headers == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "100",
        "x-ratelimit-reset-tokens": "0s",
    }
    limited.limiter.retry_after = 7
    with pytest.raises(RateLimited) as refused:
        await limited.service.open(make_request())
    assert {"Retry-After", *headers} <= refused.value.headers.keys()
    assert "x-ratelimit-limit-tokens" not in opened_headers(await bench.service.open(make_request()))


async def test_a_model_has_its_own_system_prompt_for_conversations_without_one(bench: ServiceBench) -> None:
    generator = ScriptedGenerator(answer_of("Hello"))
    model = replace(MODEL, system_prompt="Be brief.")
    prompted = ServiceBench(EngineBench(generator=generator, catalogue=make_catalogue(model)))
    async with prompted.engine.supervisor.open():
        await prompted.ended(await prompted.service.open(make_request()))
        await prompted.ended(await prompted.service.open(make_request(system_prompt="Own.")))
    assert [prompt.messages[0]["content"] for prompt in generator.prompts] == ["Be brief.", "Own."]


async def test_a_draining_service_opens_no_turn(bench: ServiceBench) -> None:
    bench.draining.set()
    with pytest.raises(Draining):
        await bench.service.open(make_request())


async def test_a_full_process_admits_nothing_but_replays(endless: ServiceBench) -> None:
    user_id = new_id()
    request = make_request(user_id=user_id, key=IdempotencyKey(user_id, "/chat", "k", b"d"))
    opened = await endless.service.open(request)
    with pytest.raises(Overloaded):
        await endless.service.open(make_request())
    assert len(endless.engine.turns.turns) == 1
    assert (await endless.service.open(request)).turn.id == opened.turn.id


async def test_a_turn_of_another_user_is_not_found(bench: ServiceBench) -> None:
    opened = await bench.service.open(make_request())
    assert (await bench.service.get(opened.turn.user_id, opened.turn.id)).id == opened.turn.id
    for user_id, turn_id in ((new_id(), opened.turn.id), (opened.turn.user_id, new_id()), (opened.turn.user_id, None)):
        with pytest.raises(TurnNotFound):
            await bench.service.get(user_id, turn_id)


async def test_a_cancelled_turn_is_returned_with_its_output(endless: ServiceBench) -> None:
    opened = await endless.service.open(make_request())
    log = endless.engine.supervisor.log(opened.turn.id)
    assert log is not None
    await eventually(lambda: bool(log.entries))
    turn = await endless.service.cancel(opened.turn.user_id, opened.turn.id)
    assert (turn.status, turn.content) == ("cancelled", "Hel")


async def test_cancelling_an_ended_turn_returns_it(bench: ServiceBench) -> None:
    opened = await bench.service.open(make_request())
    ended = await bench.ended(opened)
    assert await bench.service.cancel(opened.turn.user_id, opened.turn.id) == ended


async def test_a_cancellation_of_a_turn_on_another_replica_is_requested_and_published(bench: ServiceBench) -> None:
    turn = make_turn()
    bench.engine.turns.turns[turn.id] = turn
    await bench.service.request_cancel(turn)
    assert bench.engine.turns.turns[turn.id].cancel_requested
    assert bench.engine.logs.published == [turn.id]


async def test_an_abandoned_turn_is_cancelled(endless: ServiceBench) -> None:
    opened = await endless.service.open(make_request())
    await endless.service.abandon(opened.turn)
    assert (await endless.ended(opened)).status == "cancelled"


async def test_a_turn_that_another_replica_reads_a_moment_later_is_not_cancelled() -> None:
    bench = ServiceBench(EngineBench(generator=ENDLESS, logs=ReadLater()))
    async with bench.engine.supervisor.open():
        opened = await bench.service.open(make_request())
        await bench.service.abandon(opened.turn)
        assert not bench.engine.turns.turns[opened.turn.id].cancel_requested


@pytest.mark.parametrize("readers", ["marked", "unknown"])
async def test_a_turn_with_other_readers_is_not_cancelled_when_its_client_leaves(
    endless: ServiceBench, readers: str
) -> None:
    opened = await endless.service.open(make_request())
    if readers == "marked":
        await endless.engine.logs.mark_read([opened.turn.id], 60)
    else:
        endless.engine.logs.unavailable = True
    await endless.service.abandon(opened.turn)
    assert not endless.engine.turns.turns[opened.turn.id].cancel_requested


async def test_the_updates_of_an_ended_turn_come_from_its_row(bench: ServiceBench) -> None:
    turn = ended_turn(make_turn(), "Hello")
    bench.engine.turns.turns[turn.id] = turn
    updates = [update async for update in bench.service.follow(turn, 0, idle_after=1)]
    assert updates[0] == StreamStarted(turn)
    assert updates[-1] == TurnFinished(3, turn)
    assert await bench.service.view(turn) == TurnView(turn, "Hello", None, 3)


async def test_a_running_turn_is_viewed_with_its_answer_so_far(endless: ServiceBench) -> None:
    opened = await endless.service.open(make_request())
    log = endless.engine.supervisor.log(opened.turn.id)
    assert log is not None
    await eventually(lambda: bool(log.entries))
    log.show(1)
    assert await endless.service.view(opened.turn) == TurnView(opened.turn, "Hel", None, 2)


async def test_a_turn_that_has_ended_meanwhile_is_viewed_as_stored(bench: ServiceBench) -> None:
    opened = await bench.service.open(make_request())
    log = bench.engine.supervisor.log(opened.turn.id)
    ended = await bench.ended(opened)
    assert log is not None
    await eventually(lambda: log.state == "ended")
    assert TurnView.of_log(log) == TurnView.of_row(ended)


def test_before_the_first_token_and_after_a_failure_there_is_no_message() -> None:
    turn = make_turn()
    assert TurnView.of_log(TurnLog(turn)) == TurnView(turn, None, None, 1)
    assert TurnView.of_row(replace(turn, status="failed", content="")).message is None


async def test_the_end_of_a_running_turn_is_awaited(bench: ServiceBench) -> None:
    opened = await bench.service.open(make_request())
    turn = await bench.service.ended(opened.turn)
    assert turn is not None
    assert turn.status == "completed"


async def test_turns_of_a_user_are_listed(bench: ServiceBench) -> None:
    request = make_request()
    opened = await bench.service.open(request)
    found = await bench.service.list_turns(request.user_id, conversation_id=None, status=None, before=None, limit=5)
    assert [turn.id for turn in found.turns] == [opened.turn.id]
