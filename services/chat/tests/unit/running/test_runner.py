"""Runs of one turn: generation, early ends, caching, and outcomes that cannot be stored."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from chat.admission.response_cache import CacheLookup, ResponseCache
from chat.errors import ProviderUnavailable
from chat.generation import AnswerChunk
from chat.model import LogEntry, Turn
from chat.running.runner import Runner
from chat_testing.bench import EngineBench
from chat_testing.generator import ScriptedGenerator, answer_of
from chat_testing.stores import InMemoryResponseIndex
from chat_testing.turns import MODEL, ended_turn, make_request, make_turn
from parley import times
from parley.ids import new_id
from parley_events.parts import Usage
from parley_testing import eventually

USAGE = Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7)


async def run(bench: EngineBench, runner: Runner) -> Turn:
    """Run a turn to its end; returns its row."""
    await runner.run()
    return bench.turns.turns[runner.log.turn.id]


async def test_a_complete_answer_is_stored_with_the_reported_usage() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("Hel", "lo", usage=USAGE)))
    runner = bench.runner(await bench.job())
    turn = await run(bench, runner)
    assert (turn.status, turn.finish_reason, turn.content, turn.usage) == ("completed", "stop", "Hello", USAGE)
    assert (turn.provider, turn.provider_model) == ("fake", "fake-1")
    assert (runner.log.state, runner.log.shown) == ("ended", 2)
    assert bench.settled == [turn]
    assert bench.turns.event_names == ["conversation.turn.started", "conversation.turn.completed"]


async def test_usage_that_the_provider_does_not_report_is_estimated() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("word" * 10)))
    turn = await run(bench, bench.runner(await bench.job(prompt_tokens=9)))
    assert turn.usage == Usage(prompt_tokens=9, completion_tokens=10, total_tokens=19, estimated=True)


async def test_usage_beyond_the_request_is_estimated() -> None:
    impossible = Usage(prompt_tokens=5, completion_tokens=MODEL.max_output_tokens + 1, total_tokens=2000)
    bench = EngineBench(generator=ScriptedGenerator(answer_of("word" * 20, usage=impossible)))
    turn = await run(bench, bench.runner(await bench.job(prompt_tokens=9)))
    assert turn.usage is not None
    assert (turn.usage.prompt_tokens, turn.usage.completion_tokens, turn.usage.estimated) == (9, 20, True)
    assert (turn.status, turn.finish_reason) == ("completed", "stop")


async def test_a_failure_before_the_first_token_fails_the_turn_without_usage() -> None:
    bench = EngineBench(generator=ScriptedGenerator(failure=ProviderUnavailable(retry_after=7)))
    turn = await run(bench, bench.runner(await bench.job()))
    assert (turn.status, turn.finish_reason, turn.cost) == ("failed", "error", Decimal(0))
    assert turn.error is not None
    assert (turn.error.code, turn.error.retry_after) == ("provider_unavailable", 7)
    assert turn.usage is not None
    assert turn.usage.total_tokens == 0


async def test_a_failure_after_the_first_token_keeps_the_output() -> None:
    generator = ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], failure=ProviderUnavailable())
    bench = EngineBench(generator=generator)
    turn = await run(bench, bench.runner(await bench.job()))
    assert (turn.status, turn.finish_reason, turn.content) == ("incomplete", "error", "Hel")


async def test_a_cancelled_turn_keeps_its_output() -> None:
    bench = EngineBench(generator=ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True))
    runner = bench.runner(await bench.job())
    running = asyncio.create_task(run(bench, runner))
    await eventually(lambda: bool(runner.log.entries))
    runner.stop("cancelled")
    runner.stop("interrupted")
    turn = await running
    assert (turn.status, turn.content) == ("cancelled", "Hel")


@pytest.mark.parametrize(("takes_prompt", "tokens", "provider"), [(True, 9, "fake"), (False, 0, None)])
async def test_a_turn_that_is_cancelled_before_its_first_token_costs_the_prompt_if_a_server_has_it(
    takes_prompt: bool, tokens: int, provider: str | None
) -> None:
    generator = ScriptedGenerator(silent=True, takes_prompt=takes_prompt)
    bench = EngineBench(generator=generator)
    runner = bench.runner(await bench.job(prompt_tokens=9))
    running = asyncio.create_task(run(bench, runner))
    await eventually(lambda: bool(generator.prompts))
    runner.stop("cancelled")
    turn = await running
    assert (turn.status, turn.provider) == ("cancelled", provider)
    assert turn.usage == Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens, estimated=True)


async def test_a_turn_ends_at_its_deadline() -> None:
    bench = EngineBench(generator=ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True))
    turn = await run(bench, bench.runner(await bench.job(deadline_at=times.now() + timedelta(seconds=0.05))))
    assert (turn.status, turn.finish_reason) == ("incomplete", "deadline")


async def test_an_answer_that_exceeds_the_limit_ends_with_an_error() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("x" * 6, "x" * 6)), answer_limit=10)
    turn = await run(bench, bench.runner(await bench.job()))
    assert (turn.status, turn.finish_reason, turn.content) == ("incomplete", "error", "x" * 6)


async def test_a_length_that_the_budget_capped_is_incomplete() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("Hel", finish_reason="length")))
    turn = await run(bench, bench.runner(await bench.job(capped=True)))
    assert (turn.status, turn.finish_reason) == ("incomplete", "budget")


async def test_a_fenced_runner_stores_nothing_and_abandons_its_log() -> None:
    bench = EngineBench(generator=ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True))
    runner = bench.runner(await bench.job())
    running = asyncio.create_task(run(bench, runner))
    await eventually(lambda: bool(runner.log.entries))
    runner.stop("fenced")
    turn = await running
    assert (turn.status, runner.log.state) == ("running", "abandoned")


async def test_a_turn_that_another_runner_ended_is_shown_as_stored() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("mine")))
    job = await bench.job()
    bench.turns.turns[job.turn.id] = replace(ended_turn(job.turn, "theirs"), epoch=2)
    runner = bench.runner(job)
    await runner.run()
    assert (runner.log.state, runner.log.turn.content) == ("ended", "theirs")
    assert bench.settled == []


async def test_an_outcome_is_stored_once_the_database_is_back_and_readers_are_told_meanwhile() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("Hello")), pending_after=0.01)
    runner = bench.runner(await bench.job())
    bench.turns.unavailable = True
    running = asyncio.create_task(run(bench, runner))
    await eventually(lambda: runner.log.state == "pending")
    bench.turns.unavailable = False
    turn = await running
    assert (turn.status, runner.log.state) == ("completed", "ended")


async def test_an_answer_is_stored_after_an_unforeseen_error_of_the_store() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("Hello")), pending_after=0.01)
    runner = bench.runner(await bench.job())
    bench.turns.failure = RuntimeError("unforeseen")
    running = asyncio.create_task(run(bench, runner))
    await eventually(lambda: runner.log.state == "pending")
    bench.turns.failure = None
    turn = await running
    assert (turn.status, turn.content) == ("completed", "Hello")


async def cached_answer(bench: EngineBench, index: InMemoryResponseIndex) -> CacheLookup:
    """Store an earlier answer to the prompt of every job; returns a lookup that finds it."""
    user_id = new_id()
    cache = ResponseCache(index, bench.turns, bench.metrics)
    earlier = replace(ended_turn(make_turn(user_id=user_id), "Hel", "lo"), provider="fake")
    bench.turns.turns[earlier.id] = earlier
    job = await bench.job()
    lookup = cache.lookup(make_request(user_id=user_id), MODEL, job.terms.prompt)
    assert lookup is not None
    await lookup.save(earlier, MODEL)
    return lookup


async def test_a_cached_answer_is_stored_without_calling_the_provider() -> None:
    bench = EngineBench()
    lookup = await cached_answer(bench, InMemoryResponseIndex())
    turn = await run(bench, bench.runner(await bench.job(cache_lookup=lookup)))
    assert (turn.status, turn.content, turn.cached, turn.cost) == ("completed", "Hello", True, Decimal(0))
    assert bench.generator.prompts == []


async def test_a_turn_cancelled_during_a_cache_hit_does_not_show_the_cached_answer() -> None:
    bench = EngineBench()
    lookup = await cached_answer(bench, InMemoryResponseIndex())
    runner = bench.runner(await bench.job(cache_lookup=lookup))
    runner.stop("cancelled")
    turn = await run(bench, runner)
    assert (turn.status, turn.content, turn.cached) == ("cancelled", "", False)


async def test_a_complete_answer_is_cached_for_the_next_turn() -> None:
    bench = EngineBench(generator=ScriptedGenerator(answer_of("Hello")))
    index = InMemoryResponseIndex()
    user_id = new_id()
    lookup = ResponseCache(index, bench.turns, bench.metrics).lookup(
        make_request(user_id=user_id), MODEL, (await bench.job()).terms.prompt
    )
    turn = await run(bench, bench.runner(await bench.job(cache_lookup=lookup, user_id=user_id)))
    assert list(index.turn_ids.values()) == [turn.id]
