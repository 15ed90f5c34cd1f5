"""Fallback models: which may answer a turn, and that budgets and prices are theirs."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from chat.admission.plans import ChatPlan
from chat.catalogue import Catalogue, Model, Target
from chat.model import LogEntry, Turn
from chat.price import Price
from chat.token_estimate import estimate
from chat_testing.admission import admit
from chat_testing.bench import EngineBench
from chat_testing.generator import ScriptedGenerator, answer_of
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import MODEL, make_request
from parley_events.parts import Usage

PRICE = Price(Decimal(1), Decimal(1), None, "test")
PRIMARY = replace(MODEL, fallbacks=("second", "third"), price=PRICE)
SECOND = Model("second", "big", "Big", "other", Target("http://second/v1", None), 8192, 1024, price=replace(PRICE))
THIRD = Model("third", "small", "Small", "other", Target("http://third/v1", None), 8192, 1024, price=PRICE)
EXPENSIVE = Price(Decimal(1), Decimal(1000), None, "test")
USAGE = Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)


def make_bench(
    second: Model = SECOND, *, plan: ChatPlan | None = None, down: frozenset[str] = frozenset({"default"})
) -> ServiceBench:
    """Return a service whose models are PRIMARY, ``second`` and THIRD; those that are ``down`` do not answer."""
    generator = ScriptedGenerator(answer_of("yes", usage=USAGE), down=down)
    catalogue = Catalogue({"default": PRIMARY, "second": second, "third": THIRD}, "default")
    plan = plan or ChatPlan(tokens_per_minute=None, usd_per_day=Decimal("0.01"), usd_per_month=None)
    return ServiceBench(EngineBench(generator=generator, catalogue=catalogue), plan=plan)


async def ended(bench: ServiceBench, **members: Any) -> Turn:
    async with bench.engine.supervisor.open():
        opened = await bench.service.open(make_request(**members))
        return await bench.ended(opened)


async def spent(bench: ServiceBench, turn: Turn) -> tuple[int, Decimal]:
    (found,) = (await bench.engine.turns.use(turn.user_id, [f"{turn.created_at:%Y-%m-%d}"])).values()
    return found.spent


async def test_a_fallback_outside_the_plan_does_not_answer() -> None:
    plan = ChatPlan(tokens_per_minute=None, models=("default", "third"))
    assert (await ended(make_bench(plan=plan))).provider_model == "small"
    forbidden = ChatPlan(tokens_per_minute=None, models=("default",))
    assert (await ended(make_bench(plan=forbidden))).status == "failed"


async def test_a_fallback_whose_window_does_not_hold_the_prompt_does_not_answer() -> None:
    turn = await ended(make_bench(replace(SECOND, context_window=256)), message="word " * 300)
    assert turn.provider_model == "small"


async def test_a_fallback_that_cannot_read_images_does_not_answer_them() -> None:
    bench = make_bench(replace(SECOND, capabilities=("stream", "vision")), down=frozenset({"default", "second"}))
    job = await admit(bench, make_request(capabilities=frozenset({"vision"})))
    assert [model.alias for model in job.models] == ["default", "second"]


async def test_an_answer_of_a_fallback_has_its_limits_and_its_temperature() -> None:
    bench = make_bench(replace(SECOND, max_output_tokens=77, temperature=0.5, price=None))
    await ended(bench)
    prompt = bench.engine.generator.prompts[-1]
    assert (prompt.max_tokens, prompt.temperature) == (77, 0.5)


async def test_the_budget_of_a_turn_is_reserved_and_settled_at_the_price_of_the_model_that_answers() -> None:
    bench = make_bench(replace(SECOND, price=EXPENSIVE))
    turn = await ended(bench)
    prompt = bench.engine.generator.prompts[-1]
    assert prompt.max_tokens == 9  # what 0.01 dollars pay for at 1,000 dollars a million
    assert (turn.provider_model, turn.answering_model, turn.cost) == ("big", "second", EXPENSIVE.of(USAGE))
    assert await spent(bench, turn) == (15, EXPENSIVE.of(USAGE))


async def test_a_fallback_that_the_budget_does_not_pay_for_is_skipped() -> None:
    bench = make_bench(replace(SECOND, price=Price(Decimal(10_000), Decimal(10_000), None, "test")))
    turn = await ended(bench)
    assert (turn.provider_model, turn.answering_model, turn.cost) == ("small", "third", PRICE.of(USAGE))
    assert await spent(bench, turn) == (15, PRICE.of(USAGE))


async def test_a_turn_that_no_affordable_model_answers_fails_and_releases_its_budget() -> None:
    bench = make_bench(replace(SECOND, price=EXPENSIVE), down=frozenset({"default", "second", "third"}))
    turn = await ended(bench)
    assert turn.status == "failed"
    assert await spent(bench, turn) == (0, Decimal(0))


async def test_turns_at_once_cannot_overspend_through_a_fallback() -> None:
    bench = make_bench(replace(SECOND, price=EXPENSIVE))
    request = make_request()
    first, second = [await admit(bench, replace(request, conversation_id=None)) for _ in range(2)]
    granted = []
    for job in (first, second):
        assert job.fallback_terms is not None
        terms = await job.fallback_terms(bench.engine.catalogue.find("second"))
        granted.append(terms.prompt.max_tokens if terms else 0)
    _, cost = await spent(bench, first.turn)
    assert sum(granted) <= 9
    assert cost <= Decimal("0.01")


async def test_without_the_database_no_fallback_is_reserved() -> None:
    bench = make_bench()
    job = await admit(bench, make_request())
    bench.engine.turns.unavailable = True
    assert job.fallback_terms is not None
    assert await job.fallback_terms(SECOND) is None


@pytest.mark.parametrize("fallback", [True, False])
async def test_a_recovered_answer_is_priced_at_the_model_that_gave_it(fallback: bool) -> None:
    bench = make_bench(replace(SECOND, price=EXPENSIVE))
    job = await admit(bench, make_request())
    if fallback:
        assert job.fallback_terms is not None
        assert await job.fallback_terms(bench.engine.catalogue.find("second")) is not None
    turn = bench.engine.turns.turns[job.turn.id]
    outcome = bench.engine.recovery.outcome(turn, (LogEntry("yes"),))
    price = EXPENSIVE if fallback else PRICE
    usage = Usage(
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=estimate("yes"),
        total_tokens=turn.prompt_tokens + estimate("yes"),
        estimated=True,
    )
    assert (outcome.cost, outcome.provider_model) == (price.of(usage), "big" if fallback else "fake-1")
