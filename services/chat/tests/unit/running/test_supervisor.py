"""Supervision of running turns, capacity, and the shutdown."""

import asyncio
import contextlib
from uuid import UUID

import pytest

from chat.errors import TooManyOpenTurns
from chat.generation import AnswerChunk
from chat.model import LogEntry, Outcome, Turn
from chat.running import runner
from chat.running.supervisor import MIN_TURNS_OF_USER
from chat_testing.bench import EngineBench
from chat_testing.generator import ScriptedGenerator, answer_of
from chat_testing.turn_store import InMemoryTurnStore
from parley.errors import Draining, Overloaded
from parley.ids import new_id
from parley_testing import eventually


class BrokenTurnStore(InMemoryTurnStore):
    """A store whose turns another runner owns, and that cannot read them."""

    async def finish(self, turn: Turn, outcome: Outcome) -> Turn | None:
        return None

    async def get(self, turn_id: UUID) -> Turn | None:
        raise LookupError


def endless() -> ScriptedGenerator:
    return ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True)


async def test_a_started_turn_runs_until_its_end_and_is_then_forgotten() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("Hello")))
    job = await bench.job()
    log = bench.supervisor.start(job)
    assert bench.supervisor.log(job.turn.id) is log
    assert bench.registry.get_sample_value("chat_turns_running") == 0
    await eventually(lambda: log.state == "ended")
    await eventually(lambda: not bench.supervisor.running())
    assert bench.supervisor.log(job.turn.id) is None
    assert bench.registry.get_sample_value("chat_turns_running") == 0


async def test_a_turn_that_crashes_abandons_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_UNFORESEEN_FAILURES", 2)
    bench = EngineBench(turns=BrokenTurnStore(), generator=ScriptedGenerator(answer_of("Hello")))
    log = bench.supervisor.start(await bench.job())
    await eventually(lambda: log.state == "abandoned")


async def test_only_the_turn_that_is_stopped_ends() -> None:
    bench = EngineBench(generator=endless())
    one, other = await bench.job(), await bench.job()
    logs = [bench.supervisor.start(job) for job in (one, other)]
    await eventually(lambda: all(log.entries for log in logs))
    bench.supervisor.stop(one.turn.id, "cancelled")
    await eventually(lambda: logs[0].state == "ended")
    assert (logs[0].turn.status, logs[1].state) == ("cancelled", "open")
    async with bench.supervisor.open():
        pass


async def test_a_full_process_is_overloaded() -> None:
    bench = EngineBench(generator=endless(), limit=1)
    async with bench.supervisor.open():
        bench.supervisor.start(await bench.job())
        with pytest.raises(Overloaded), bench.supervisor.admitting(new_id(), new_id()):
            pytest.fail("It admitted a second turn.")


async def test_turns_that_are_being_admitted_count_like_running_ones() -> None:
    bench, user_id = EngineBench(limit=MIN_TURNS_OF_USER + 1), new_id()
    with contextlib.ExitStack() as admitting:
        for _ in range(MIN_TURNS_OF_USER):
            admitting.enter_context(bench.supervisor.admitting(new_id(), user_id))
        with pytest.raises(TooManyOpenTurns):
            admitting.enter_context(bench.supervisor.admitting(new_id(), user_id))
        admitting.enter_context(bench.supervisor.admitting(new_id(), new_id()))
        with pytest.raises(Overloaded):
            admitting.enter_context(bench.supervisor.admitting(new_id(), new_id()))
    with bench.supervisor.admitting(new_id(), user_id):
        pass


async def test_a_user_runs_a_share_of_the_turns_of_a_process() -> None:
    bench, user_id = EngineBench(generator=endless(), limit=10 * MIN_TURNS_OF_USER), new_id()
    async with bench.supervisor.open():
        logs = [bench.supervisor.start(await bench.job(user_id=user_id)) for _ in range(MIN_TURNS_OF_USER)]
        with pytest.raises(TooManyOpenTurns), bench.supervisor.admitting(new_id(), user_id):
            pytest.fail("It admitted one more turn of the user.")
        with bench.supervisor.admitting(new_id(), new_id()):
            pass
        with bench.supervisor.admitting(new_id(), user_id, streams=MIN_TURNS_OF_USER + 1):
            pass
        bench.supervisor.stop(logs[0].turn.id, "cancelled")
        await eventually(lambda: logs[0].turn.id not in bench.supervisor.running())
        with bench.supervisor.admitting(new_id(), user_id):
            pass


async def test_closing_interrupts_the_running_turns_and_waits_until_they_are_stored() -> None:
    bench = EngineBench(generator=endless())
    async with bench.supervisor.open():
        log = bench.supervisor.start(await bench.job())
        await eventually(lambda: bool(log.entries))
    assert (log.state, log.turn.status, log.turn.finish_reason) == ("ended", "incomplete", "interrupted")


async def test_work_continues_after_its_caller_is_cancelled() -> None:
    bench, done, release = EngineBench(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await release.wait()
        done.set()

    caller = asyncio.create_task(bench.supervisor.run_to_completion(work()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    release.set()
    await eventually(done.is_set)


async def test_no_work_is_accepted_after_closing() -> None:
    bench = EngineBench()
    async with bench.supervisor.open():
        pass

    async def work() -> None:
        pass

    with pytest.raises(Draining):
        await bench.supervisor.run_to_completion(work())
