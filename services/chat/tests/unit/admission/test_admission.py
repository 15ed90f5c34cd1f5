"""Admission of turns: model, plan, idempotency key, position, context, budget and token limit."""

import re
from decimal import Decimal

import pytest

from chat.admission.plans import ChatPlan
from chat.admission.token_limits import STORED_SHARE
from chat.catalogue import Catalogue
from chat.errors import (
    ContextLengthExceeded,
    ConversationNotFound,
    Erased,
    HistoryUnavailable,
    MessageNotFound,
    ModelNotFound,
    ProviderUnavailable,
    TurnInProgress,
)
from chat.history import ConversationOwner, RegenerationSource
from chat.model import EMPTY_USAGE, IdempotencyKey
from chat_testing.admission import admit, adopt, completed, follow_up
from chat_testing.bench import EngineBench
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import MODEL, ended_turn, make_outcome, make_request
from parley import times
from parley.config.plans import QuotaExceeded
from parley.errors import RateLimited, ValidationFailed
from parley.ids import new_id
from parley.web.idempotency_keys import IdempotencyKeyReused


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match=f"Your models: `{MODEL.alias}`"):
        ServiceBench().admission.select_model(make_request(model="unknown"))


def test_a_model_outside_the_plan_is_not_found() -> None:
    bench = ServiceBench(plan=ChatPlan(models=("small-*",)))
    with pytest.raises(ModelNotFound, match="Your plan includes no model"):
        bench.admission.select_model(make_request())


def test_without_a_configured_model_the_provider_is_unavailable() -> None:
    bench = ServiceBench(EngineBench(catalogue=Catalogue({}, None)))
    with pytest.raises(ProviderUnavailable):
        bench.admission.select_model(make_request())


def test_more_output_tokens_than_the_model_has_are_refused_unless_the_request_is_lenient() -> None:
    bench = ServiceBench()
    too_many = MODEL.max_output_tokens + 1
    with pytest.raises(ValidationFailed):
        bench.admission.select_model(make_request(max_tokens=too_many))
    assert bench.admission.select_model(make_request(max_tokens=too_many, lenient=True)) == MODEL


async def test_a_key_with_another_body_is_refused() -> None:
    bench, user_id = ServiceBench(), new_id()
    await admit(bench, make_request(user_id=user_id, key=IdempotencyKey(user_id, "/chat", "k", b"one")))
    with pytest.raises(IdempotencyKeyReused):
        await bench.admission.find_replay(IdempotencyKey(user_id, "/chat", "k", b"other"))


async def test_concurrent_requests_with_one_key_get_one_turn() -> None:
    bench, user_id = ServiceBench(), new_id()
    request = make_request(user_id=user_id, key=IdempotencyKey(user_id, "/chat", "k", b"one"))
    assert await bench.admission.find_replay(request.key) is None
    job = await admit(bench, request)
    again = await bench.admission.admit(request, MODEL, bench.engine.runner_id, new_id())
    assert again == job.turn


async def test_a_follow_up_has_the_earlier_exchange_and_the_latest_parent() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request(message="My name is Ada", system_prompt="Be brief"))
    job = await admit(bench, follow_up(first, message="Who am I?"))
    assert (job.turn.number, job.turn.parent_id) == (2, first.id)
    assert [(m["role"], m["content"]) for m in job.terms.prompt.messages] == [
        ("system", "Be brief"),
        ("user", "My name is Ada"),
        ("assistant", "Hello"),
        ("user", "Who am I?"),
    ]


async def test_the_conversation_as_parent_starts_a_new_branch_at_the_root() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    job = await admit(bench, follow_up(first, parent_id=first.conversation_id))
    assert job.turn.parent_id is None
    assert len(job.terms.prompt.messages) == 1


async def test_a_regeneration_repeats_the_user_message_under_the_same_parent() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request(message="Question"))
    job = await admit(bench, follow_up(first, message=None, regenerate=first.id))
    assert (job.turn.user_message, job.turn.user_message_id) == ("Question", first.user_message_id)
    assert job.turn.parent_id is None


async def test_a_regeneration_of_an_unknown_answer_is_not_found() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    with pytest.raises(MessageNotFound):
        await admit(bench, follow_up(first, message=None, regenerate=new_id()))


async def test_a_running_turn_and_a_foreign_conversation_are_refused() -> None:
    bench = ServiceBench()
    running = (await admit(bench, make_request())).turn
    with pytest.raises(TurnInProgress):
        await admit(bench, follow_up(running))
    with pytest.raises(ConversationNotFound):
        await admit(bench, make_request(conversation_id=running.conversation_id))


async def test_an_erased_user_is_refused() -> None:
    bench, user_id = ServiceBench(), new_id()
    bench.engine.turns.erased_users.add(user_id)
    with pytest.raises(Erased):
        await admit(bench, make_request(user_id=user_id))


async def test_a_conversation_of_history_is_adopted_with_its_context_and_number() -> None:
    bench, user_id = ServiceBench(), new_id()
    conversation_id, answer_id = adopt(bench, user_id)
    job = await admit(bench, make_request(user_id=user_id, conversation_id=conversation_id, message="Why?"))
    assert (job.turn.number, job.turn.parent_id, job.turn.context) == (8, answer_id, "complete")
    assert [m["content"] for m in job.terms.prompt.messages] == ["Which colour?", "Blue.", "Why?"]


async def test_an_answer_of_history_is_regenerated() -> None:
    bench, user_id = ServiceBench(), new_id()
    conversation_id, answer_id = adopt(bench, user_id)
    source = RegenerationSource(None, new_id(), "Which colour?", times.now())
    bench.history.regenerations[answer_id] = source
    request = make_request(user_id=user_id, conversation_id=conversation_id, message=None, regenerate=answer_id)
    job = await admit(bench, request)
    assert (job.turn.user_message_id, job.turn.user_message) == (source.user_message_id, "Which colour?")


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_foreign_or_deleted_conversation_of_history_is_not_found(deleted: bool) -> None:
    bench, user_id, conversation_id = ServiceBench(), new_id(), new_id()
    owner = user_id if deleted else new_id()
    bench.history.owners[conversation_id] = ConversationOwner(owner, deleted=deleted)
    with pytest.raises(ConversationNotFound):
        await admit(bench, make_request(user_id=user_id, conversation_id=conversation_id))


async def test_without_history_only_conversations_of_chat_continue() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    bench.history.unavailable = True
    with pytest.raises(HistoryUnavailable):
        await admit(bench, make_request(conversation_id=new_id()))
    assert (await admit(bench, follow_up(first))).turn.context == "complete"


async def test_context_that_history_does_not_return_is_partial() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    bench.engine.turns.turns[first.id] = ended_turn(first, "Hello")
    del bench.engine.turns.turns[first.id]
    bench.history.unavailable = True
    assert (await admit(bench, follow_up(first))).turn.context == "partial"


async def test_a_parent_that_nobody_knows_is_not_found() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    with pytest.raises(MessageNotFound):
        await admit(bench, follow_up(first, parent_id=new_id()))


async def test_a_message_longer_than_the_context_window_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded):
        await admit(ServiceBench(), make_request(message="x" * 4 * MODEL.context_window))


async def test_messages_sent_by_the_client_are_the_whole_context() -> None:
    messages = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]
    job = await admit(ServiceBench(), make_request(stored=False, messages=messages))
    assert job.terms.prompt.messages == messages
    assert job.turn.conversation_id is None


async def test_the_remaining_budget_caps_the_answer_and_a_spent_one_refuses_the_turn() -> None:
    bench = ServiceBench(plan=ChatPlan(tokens_per_minute=None, tokens_per_day=100))
    job = await admit(bench, make_request())
    assert (job.terms.capped_by_budget, job.terms.prompt.max_tokens) == (True, 100 - job.turn.prompt_tokens)
    with pytest.raises(QuotaExceeded):
        await admit(bench, make_request(user_id=job.turn.user_id))


async def test_the_token_limit_takes_the_prompt_and_settles_the_rest() -> None:
    bench = ServiceBench(plan=ChatPlan(tokens_per_minute=1000, usd_per_day=None, usd_per_month=None))
    job = await admit(bench, make_request())
    ended = await bench.engine.turns.finish(job.turn, make_outcome("Hello", cost=Decimal(0)))
    assert job.settle is not None
    assert ended is not None
    await job.settle(ended)
    assert bench.limiter.taken == [job.turn.prompt_tokens, 10 - job.turn.prompt_tokens]


async def test_a_stored_turn_without_usage_keeps_a_share_of_its_prompt_from_the_token_limit() -> None:
    bench = ServiceBench(plan=ChatPlan(tokens_per_minute=10_000, usd_per_day=None, usd_per_month=None))
    job = await admit(bench, make_request(message="word " * 1_000))
    ended = await bench.engine.turns.finish(job.turn, make_outcome("Hello", usage=EMPTY_USAGE, cached=True))
    assert job.settle is not None
    assert ended is not None
    await job.settle(ended)
    taken, returned = bench.limiter.taken
    assert (taken, taken + returned) == (job.turn.prompt_tokens, -(-taken // STORED_SHARE))


async def test_the_token_limit_gets_back_what_a_turn_took_that_is_not_stored() -> None:
    bench, user_id = ServiceBench(plan=ChatPlan(tokens_per_minute=1000)), new_id()
    request = make_request(user_id=user_id, key=IdempotencyKey(user_id, "/chat", "k", b"one"))
    job = await admit(bench, request)
    await bench.admission.admit(request, MODEL, bench.engine.runner_id, new_id())
    bench.engine.turns.erased_users.add(user_id)
    with pytest.raises(Erased):
        await admit(bench, make_request(user_id=user_id))
    assert bench.limiter.taken == [job.turn.prompt_tokens] + [job.turn.prompt_tokens, -job.turn.prompt_tokens] * 2


async def test_an_exhausted_token_limit_refuses_the_turn_and_says_when_to_retry() -> None:
    bench = ServiceBench(plan=ChatPlan(tokens_per_minute=1000))
    bench.limiter.retry_after = 7.2
    with pytest.raises(RateLimited) as refused:
        await admit(bench, make_request())
    assert refused.value.headers["Retry-After"] == "8"
    left = refused.value.headers["x-ratelimit-remaining-tokens"]
    assert re.search(
        r"^1000 tokens a minute are allowed, including those reserved by running turns\. This prompt reserves \d+, "
        rf"and {left} are left\. "
        rf"Retry in 8 s, or send at most {left} tokens\.$",
        refused.value.detail,
    )
    bench.limiter.left = 0
    with pytest.raises(RateLimited, match=r"and 0 are left\. Retry in 8 s\.$"):
        await admit(bench, make_request())
    assert bench.engine.turns.turns == {}
