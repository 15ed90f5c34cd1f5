"""Response cache: digests, cacheable answers, and the clients' cache policy."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from chat.admission.response_cache import CacheLookup, ResponseCache, digest_of
from chat.admission.turn_request import CachePolicy
from chat.api.request_parsing import parse_cache_policy
from chat.catalogue import Model, Target
from chat.generation import Prompt
from chat.metrics import ChatMetrics
from chat.model import LogEntry, Turn
from chat.running.outcome import MAX_CACHED_ENTRY_LENGTH, cached_outcome
from chat_testing.stores import InMemoryResponseIndex
from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turns import MODEL, make_request, make_turn
from parley.ids import new_id

USER = new_id()
PROMPT = Prompt([{"role": "user", "content": "Hi"}], 100, 0.5, {"seed": 1, "tools": [{"a": 1, "b": 2}]})


class CacheBench:
    """A cache under test, with its index and turn store."""

    def __init__(self) -> None:
        self.index, self.turns, self.registry = InMemoryResponseIndex(), InMemoryTurnStore(), CollectorRegistry()
        self.cache = ResponseCache(self.index, self.turns, ChatMetrics(self.registry))

    def find_lookup(self, user_id: UUID = USER, **changed: Any) -> CacheLookup | None:
        return self.cache.lookup(make_request(user_id=user_id, **changed), MODEL, PROMPT)

    def lookup(self, **changed: Any) -> CacheLookup:
        found = self.find_lookup(**changed)
        assert found is not None
        return found

    def keep(self, turn: Turn) -> Turn:
        self.turns.turns[turn.id] = turn
        return turn

    def counted(self) -> list[float | None]:
        name = "chat_answer_cache_lookups_total"
        return [self.registry.get_sample_value(name, {"result": result}) for result in ("hit", "miss", "error")]


@pytest.fixture
def bench() -> CacheBench:
    return CacheBench()


@pytest.fixture
def answered() -> Turn:
    turn = make_turn(user_id=USER, status="completed", finish_reason="stop", content="Hello")
    return replace(turn, entries=(LogEntry("Hel"), LogEntry("lo")), provider="fake", provider_model="fake-1")


@pytest.mark.parametrize(
    "other",
    [
        replace(PROMPT, messages=[{"role": "user", "content": "hi"}]),
        replace(PROMPT, messages=[{"role": "system", "content": "Hi"}]),
        replace(PROMPT, max_tokens=101),
        replace(PROMPT, temperature=None),
        replace(PROMPT, temperature=0.6),
        replace(PROMPT, options={"seed": 2, "tools": [{"a": 1, "b": 2}]}),
        replace(PROMPT, options=None),
    ],
)
def test_prompts_that_differ_in_any_part_have_different_digests(other: Prompt) -> None:
    assert digest_of(USER, MODEL, other) != digest_of(USER, MODEL, PROMPT)


@pytest.mark.parametrize(
    "model", [replace(MODEL, provider_model="fake-2"), replace(MODEL, target=Target("http://other/v1", "key"))]
)
def test_another_model_has_a_different_digest(model: Model) -> None:
    assert digest_of(USER, model, PROMPT) != digest_of(USER, MODEL, PROMPT)


def test_another_user_has_a_different_digest() -> None:
    assert digest_of(new_id(), MODEL, PROMPT) != digest_of(USER, MODEL, PROMPT)


def test_alias_api_key_and_member_order_do_not_change_the_digest() -> None:
    model = replace(MODEL, alias="other", target=Target("http://fake/v1", "new key"))
    prompt = replace(PROMPT, options={"tools": [{"b": 2, "a": 1}], "seed": 1})
    assert digest_of(USER, model, prompt) == digest_of(USER, MODEL, PROMPT)


async def test_a_saved_turn_is_found_by_the_same_prompt(bench: CacheBench, answered: Turn) -> None:
    assert await bench.lookup().find() is None
    await bench.lookup().save(bench.keep(answered), MODEL)
    assert await bench.lookup().find() == answered
    assert bench.counted() == [1, 1, 0]


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "incomplete", "finish_reason": "budget"},
        {"status": "cancelled", "finish_reason": "cancelled"},
        {"status": "failed", "finish_reason": "error"},
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"entries": ()},
        {"cached": True},
        {"user_id": new_id()},
    ],
)
async def test_only_complete_answers_of_a_provider_are_cached(
    bench: CacheBench, answered: Turn, changed: dict[str, Any]
) -> None:
    turn = bench.keep(replace(answered, **changed))
    await bench.lookup().save(turn, MODEL)
    assert bench.index.turn_ids == {}
    # Nor is it found if the index has it.
    bench.index.turn_ids[digest_of(USER, MODEL, PROMPT)] = turn.id
    assert await bench.lookup().find() is None


async def test_the_answer_of_a_fallback_model_is_not_cached(bench: CacheBench, answered: Turn) -> None:
    await bench.lookup().save(bench.keep(answered), replace(MODEL, target=Target("http://other/v1", None)))
    assert bench.index.turn_ids == {}


async def test_a_turn_whose_row_is_deleted_is_not_found(bench: CacheBench, answered: Turn) -> None:
    await bench.lookup().save(answered, MODEL)
    assert len(bench.index.turn_ids) == 1
    assert await bench.lookup().find() is None
    assert bench.counted() == [0, 1, 0]


async def test_a_request_for_a_new_answer_reads_no_cached_one_but_saves_its_own(
    bench: CacheBench, answered: Turn
) -> None:
    for changed in ({"cache_policy": CachePolicy(read=False)}, {"regenerate": new_id()}):
        bench.index.turn_ids.clear()
        await bench.lookup(**changed).save(bench.keep(answered), MODEL)
        assert len(bench.index.turn_ids) == 1
        assert await bench.lookup(**changed).find() is None
    assert bench.counted() == [0, 0, 0]


async def test_a_request_that_permits_neither_reading_nor_writing_has_no_lookup(
    bench: CacheBench, answered: Turn
) -> None:
    assert bench.find_lookup(cache_policy=CachePolicy(read=False, write=False)) is None
    reader = bench.lookup(cache_policy=CachePolicy(write=False))
    await reader.save(bench.keep(answered), MODEL)
    assert bench.index.turn_ids == {}


@pytest.mark.parametrize("store", ["index", "turns"])
async def test_an_unavailable_index_or_store_is_a_miss_and_is_counted_as_an_error(
    bench: CacheBench, answered: Turn, store: str
) -> None:
    await bench.lookup().save(bench.keep(answered), MODEL)
    getattr(bench, store).unavailable = True
    assert await bench.lookup().find() is None
    await bench.lookup().save(answered, MODEL)
    assert bench.counted() == [0, 0, 1]


def test_a_cached_answer_has_no_usage_and_no_cost(answered: Turn) -> None:
    outcome = cached_outcome(replace(answered, cost=Decimal(1), price_version="v"))
    assert outcome.cached
    assert (outcome.status, outcome.finish_reason, outcome.content) == ("completed", "stop", "Hello")
    assert (outcome.usage.total_tokens, outcome.cost, outcome.price_version) == (0, Decimal(0), None)
    assert (outcome.provider, outcome.provider_model) == ("fake", "fake-1")
    assert outcome.entries == (LogEntry("Hello"),)


def test_the_entries_of_a_cached_answer_are_merged_up_to_a_length(answered: Turn) -> None:
    calls = [LogEntry("", ({"index": 0, "function": {"arguments": text}},)) for text in "ab"]
    entries = (*(LogEntry("x") for _ in range(MAX_CACHED_ENTRY_LENGTH + 1)), *calls, LogEntry("y"), LogEntry("z"))
    found = cached_outcome(replace(answered, entries=entries)).entries
    assert found == (LogEntry("x" * MAX_CACHED_ENTRY_LENGTH), LogEntry("x"), *calls, LogEntry("yz"))


@pytest.mark.parametrize(
    ("cache_control", "cache_policy"),
    [
        (None, CachePolicy()),
        ("", CachePolicy()),
        ("max-age=60", CachePolicy()),
        ("no-cachet", CachePolicy()),
        ("no-cache", CachePolicy(read=False)),
        ("max-age=0, No-Cache", CachePolicy(read=False)),
        ('no-cache="x"', CachePolicy(read=False)),
        ("no-store", CachePolicy(read=False, write=False)),
        ("no-cache ,no-store", CachePolicy(read=False, write=False)),
    ],
)
def test_cache_control_header_sets_the_cache_policy(cache_control: str | None, cache_policy: CachePolicy) -> None:
    assert parse_cache_policy(cache_control) == cache_policy
