"""Which questions are the same, which answers are given again, and what clients may say about it."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from chat.admission.response_cache import ResponseCache, digest_of
from chat.admission.turn_request import CachePolicy, TurnRequest
from chat.api.request_parsing import parse_cache_policy
from chat.catalogue import Model, Target
from chat.generation import Prompt
from chat.metrics import ChatMetrics
from chat.model import LogEntry, Turn
from chat.running.outcome import MAX_CACHED_ENTRY_LENGTH, cached_outcome
from parley.errors import DependencyUnavailable
from parley.ids import new_id

USER = new_id()
MODEL = Model("default", "fake-1", "Fake", "fake", Target("http://fake/v1", "key"), 8192, 1024)
PROMPT = Prompt([{"role": "user", "content": "Hi"}], 100, 0.5, {"seed": 1, "tools": [{"a": 1, "b": 2}]})
MakeTurn = Callable[..., Turn]


class Shelf:
    """An index and the rows it points to; either can be away."""

    def __init__(self) -> None:
        self.noted: dict[bytes, UUID] = {}
        self.rows: dict[UUID, Turn] = {}
        self.index_away = self.rows_away = False

    async def find(self, question: bytes) -> UUID | None:
        if self.index_away:
            raise DependencyUnavailable
        return self.noted.get(question)

    async def save(self, question: bytes, turn_id: UUID) -> None:
        if self.index_away:
            raise DependencyUnavailable
        self.noted[question] = turn_id

    async def get(self, turn_id: UUID) -> Turn | None:
        if self.rows_away:
            raise DependencyUnavailable
        return self.rows.get(turn_id)

    def keep(self, turn: Turn) -> Turn:
        self.rows[turn.id] = turn
        return turn


class Bench:
    """A cache under test."""

    def __init__(self) -> None:
        self.shelf, self.registry = Shelf(), CollectorRegistry()
        self.cache = ResponseCache(self.shelf, self.shelf, ChatMetrics(self.registry))  # type: ignore[arg-type]

    def lookup(self, user_id: UUID = USER, **changed: Any) -> Any:
        ask = TurnRequest(user_id=user_id, plan="default", token="", request_id="r", message="Hi", **changed)
        return self.cache.lookup(ask, MODEL, PROMPT)

    def counted(self) -> list[float | None]:
        name = "chat_answer_cache_lookups_total"
        return [self.registry.get_sample_value(name, {"result": result}) for result in ("hit", "miss", "error")]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def answered(make_turn: MakeTurn) -> Turn:
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
def test_a_question_that_differs_in_anything_is_another_one(other: Prompt) -> None:
    assert digest_of(USER, MODEL, other) != digest_of(USER, MODEL, PROMPT)


@pytest.mark.parametrize(
    "model", [replace(MODEL, provider_model="fake-2"), replace(MODEL, target=Target("http://other/v1", "key"))]
)
def test_another_model_is_asked_another_question(model: Model) -> None:
    assert digest_of(USER, model, PROMPT) != digest_of(USER, MODEL, PROMPT)


def test_another_person_asks_another_question() -> None:
    assert digest_of(new_id(), MODEL, PROMPT) != digest_of(USER, MODEL, PROMPT)


def test_the_same_question_is_the_same_under_another_alias_key_and_order_of_members() -> None:
    model = replace(MODEL, alias="other", target=Target("http://fake/v1", "new key"))
    prompt = replace(PROMPT, options={"tools": [{"b": 2, "a": 1}], "seed": 1})
    assert digest_of(USER, model, prompt) == digest_of(USER, MODEL, PROMPT)


async def test_what_a_turn_was_answered_is_found_by_the_same_question(bench: Bench, answered: Turn) -> None:
    assert await bench.lookup().find() is None
    await bench.lookup().save(bench.shelf.keep(answered), MODEL)
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
async def test_only_a_whole_answer_of_a_provider_is_given_again(
    bench: Bench, answered: Turn, changed: dict[str, Any]
) -> None:
    turn = bench.shelf.keep(replace(answered, **changed))
    await bench.lookup().save(turn, MODEL)
    assert bench.shelf.noted == {}
    # Nor when somebody else noted it.
    bench.shelf.noted[digest_of(USER, MODEL, PROMPT)] = turn.id
    assert await bench.lookup().find() is None


async def test_the_answer_of_a_fallback_is_not_given_again(bench: Bench, answered: Turn) -> None:
    await bench.lookup().save(bench.shelf.keep(answered), replace(MODEL, target=Target("http://other/v1", None)))
    assert bench.shelf.noted == {}


async def test_an_answer_whose_row_is_gone_is_not_found(bench: Bench, answered: Turn) -> None:
    await bench.lookup().save(answered, MODEL)
    assert len(bench.shelf.noted) == 1
    assert await bench.lookup().find() is None
    assert bench.counted() == [0, 1, 0]


async def test_who_wants_a_new_answer_asks_the_provider_and_notes_what_it_says(bench: Bench, answered: Turn) -> None:
    for changed in ({"cache_policy": CachePolicy(read=False)}, {"regenerate": new_id()}):
        bench.shelf.noted.clear()
        await bench.lookup(**changed).save(bench.shelf.keep(answered), MODEL)
        assert len(bench.shelf.noted) == 1
        assert await bench.lookup(**changed).find() is None
    assert bench.counted() == [0, 0, 0]


async def test_who_forbids_both_has_nothing_to_do_with_the_cache(bench: Bench, answered: Turn) -> None:
    assert bench.lookup(cache_policy=CachePolicy(read=False, write=False)) is None
    reader = bench.lookup(cache_policy=CachePolicy(write=False))
    await reader.save(bench.shelf.keep(answered), MODEL)
    assert bench.shelf.noted == {}


@pytest.mark.parametrize("away", ["index_away", "rows_away"])
async def test_what_cannot_be_asked_is_a_miss_and_is_counted(bench: Bench, answered: Turn, away: str) -> None:
    await bench.lookup().save(bench.shelf.keep(answered), MODEL)
    setattr(bench.shelf, away, True)
    assert await bench.lookup().find() is None
    await bench.lookup().save(answered, MODEL)
    assert bench.counted() == [0, 0, 1]


def test_a_repeated_answer_uses_nothing_costs_nothing_and_says_so(answered: Turn) -> None:
    outcome = cached_outcome(replace(answered, cost=Decimal(1), price_version="v"))
    assert outcome.cached
    assert (outcome.status, outcome.finish_reason, outcome.content) == ("completed", "stop", "Hello")
    assert (outcome.usage.total_tokens, outcome.cost, outcome.price_version) == (0, Decimal(0), None)
    assert (outcome.provider, outcome.provider_model) == ("fake", "fake-1")
    assert outcome.entries == (LogEntry("Hello"),)


def test_a_repeated_answer_has_few_entries_but_no_long_ones(answered: Turn) -> None:
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
