"""Contexts that are read for requests which are then refused."""

import asyncio
from uuid import UUID

import pytest

from chat.admission.plans import ChatPlan
from chat.admission.token_limits import TokenLimits
from chat.admission.turn_request import TurnRequest
from chat.admission.unpaid_contexts import MAX_USERS, UNPAID_TOKENS, UnpaidContexts
from chat.errors import ContextLengthExceeded
from chat.history import ConversationOwner
from chat.model import IdempotencyKey
from chat.past_exchanges import PastExchange
from chat.token_estimate import CHARACTERS_PER_TOKEN
from chat_testing.admission import admit
from chat_testing.service_bench import ServiceBench
from chat_testing.stores import InMemoryRateLimiter
from chat_testing.turns import make_request
from parley.config.plans import QuotaExceeded
from parley.errors import DependencyUnavailable, RateLimited
from parley.ids import new_id
from parley_testing.virtual_time import virtual_time

PLAN = ChatPlan(tokens_per_minute=1000)


def _bench(plan: ChatPlan = PLAN, *, used_up: bool = True) -> ServiceBench:
    bench = ServiceBench(plan=plan)
    bench.limiter.retry_after, bench.limiter.left = (7.2, 0) if used_up else (None, None)
    return bench


def _follow_up(bench: ServiceBench, user_id: UUID, tokens: int, **changed: object) -> TurnRequest:
    """Return a request in a conversation of history with an answer of so many tokens."""
    conversation_id, answer_id = new_id(), new_id()
    bench.history.owners[conversation_id] = ConversationOwner(user_id, False, 7, answer_id)
    text = "x" * (tokens * CHARACTERS_PER_TOKEN)
    bench.history.past[answer_id] = [PastExchange(answer_id, None, "Why?", text)]
    return make_request(user_id=user_id, conversation_id=conversation_id, **changed)


async def _refuse(bench: ServiceBench, request: TurnRequest) -> RateLimited:
    with pytest.raises(RateLimited) as refused:
        await admit(bench, request)
    return refused.value


@virtual_time
async def test_after_long_contexts_of_refused_requests_no_further_one_is_read_for_a_minute() -> None:
    bench, user_id = _bench(), new_id()
    request = _follow_up(bench, user_id, 2 * UNPAID_TOKENS)
    await _refuse(bench, request)
    refused = await _refuse(bench, request)
    assert bench.history.branches_read == 1
    assert {"x-ratelimit-limit-tokens": "1000", "Retry-After": "61"}.items() <= refused.headers.items()
    await asyncio.sleep(61)
    bench.limiter.retry_after = None
    await admit(bench, request)
    assert bench.history.branches_read == 2


@virtual_time
async def test_requests_that_are_paid_for_are_not_counted() -> None:
    bench, user_id = _bench(used_up=False), new_id()
    for _ in range(5):
        await admit(bench, _follow_up(bench, user_id, UNPAID_TOKENS))
    assert bench.history.branches_read == 5


@virtual_time
async def test_requests_that_an_outage_ends_are_not_counted() -> None:
    contexts, user_id = UnpaidContexts(TokenLimits(InMemoryRateLimiter())), new_id()

    async def fail() -> None:
        async with contexts.reading(user_id, PLAN) as reading:
            reading.tokens = UNPAID_TOKENS
            raise DependencyUnavailable

    for _ in range(5):
        with pytest.raises(DependencyUnavailable):
            await fail()


@virtual_time
async def test_requests_at_once_after_a_refused_one_read_one_at_a_time() -> None:
    bench, user_id = _bench(), new_id()
    request = _follow_up(bench, user_id, UNPAID_TOKENS * 2 // 3)
    await _refuse(bench, request)
    await asyncio.gather(*(_refuse(bench, request) for _ in range(20)))
    assert bench.history.branches_read == 2


@virtual_time
async def test_a_plan_with_more_tokens_a_minute_may_read_as_many() -> None:
    bench, user_id = _bench(ChatPlan(tokens_per_minute=3 * UNPAID_TOKENS)), new_id()
    request = _follow_up(bench, user_id, UNPAID_TOKENS)
    for _ in range(4):
        await _refuse(bench, request)
    assert bench.history.branches_read == 3


@virtual_time
async def test_a_new_conversation_and_other_users_are_not_refused() -> None:
    bench, user_id = _bench(), new_id()
    await _refuse(bench, _follow_up(bench, user_id, UNPAID_TOKENS))
    bench.limiter.retry_after = None
    await admit(bench, make_request(user_id=user_id))
    await admit(bench, _follow_up(bench, new_id(), 1))


@virtual_time
async def test_a_repeated_request_gets_its_turn() -> None:
    bench, user_id = _bench(used_up=False), new_id()
    request = _follow_up(bench, user_id, UNPAID_TOKENS, key=IdempotencyKey(user_id, "/chat", "k", b"body"))
    first = await bench.service.open(request)
    bench.limiter.retry_after = 7.2
    await _refuse(bench, _follow_up(bench, user_id, UNPAID_TOKENS))
    await _refuse(bench, _follow_up(bench, user_id, UNPAID_TOKENS))
    again = await bench.service.open(request)
    assert (again.turn.id, again.replayed, bench.history.branches_read) == (first.turn.id, True, 2)
    await bench.ended(first)


@virtual_time
async def test_what_a_spent_budget_or_the_context_window_refuses_is_counted_too() -> None:
    spent, user_id = _bench(ChatPlan(tokens_per_minute=None, tokens_per_day=1), used_up=False), new_id()
    request = _follow_up(spent, user_id, UNPAID_TOKENS)
    with pytest.raises(QuotaExceeded):
        await admit(spent, request)
    await _refuse(spent, request)
    bench = _bench(used_up=False)
    request = _follow_up(bench, user_id, UNPAID_TOKENS, trims=False)
    with pytest.raises(ContextLengthExceeded):
        await admit(bench, request)
    await _refuse(bench, request)
    assert (spent.history.branches_read, bench.history.branches_read) == (1, 1)


@virtual_time
async def test_the_user_whose_context_was_refused_longest_ago_is_forgotten() -> None:
    contexts, users = UnpaidContexts(TokenLimits(InMemoryRateLimiter())), [new_id() for _ in range(MAX_USERS + 1)]

    async def refuse(user_id: UUID) -> None:
        async with contexts.reading(user_id, PLAN) as reading:
            reading.tokens = UNPAID_TOKENS
            raise QuotaExceeded

    for user_id in users:
        with pytest.raises(QuotaExceeded):
            await refuse(user_id)
    async with contexts.reading(users[0], PLAN):
        pass
    with pytest.raises(RateLimited):
        async with contexts.reading(users[1], PLAN):
            pass
