"""Conversations that messages create, continue, and continue on a chosen branch."""

from dataclasses import replace

import pytest

from chat.admission.conversations import ConversationCreator
from chat.errors import ConversationNotFound, Erased
from chat.history import ConversationOwner
from chat.model import Turn
from chat.past_exchanges import PastExchange
from chat_testing.admission import admit, adopt, completed, follow_up
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import conversation_of, make_outcome, make_request
from parley import times
from parley.ids import new_id


async def branched(bench: ServiceBench) -> tuple[Turn, Turn]:
    """Take two turns in one conversation, and choose the first one's answer."""
    first = await completed(bench, make_request(message="One"), "First")
    second = await completed(bench, follow_up(first, message="Two"), "Second")
    choose(bench, first)
    return first, second


def choose(bench: ServiceBench, turn: Turn) -> None:
    bench.history.owners[conversation_of(turn)] = ConversationOwner(
        turn.user_id, deleted=False, last_number=2, chosen_answer=turn.id, chosen_at=times.now()
    )


async def test_a_chosen_branch_is_continued_by_the_next_message_only() -> None:
    bench = ServiceBench()
    first, _ = await branched(bench)
    job = await admit(bench, follow_up(first, message="Three"))
    assert (job.turn.parent_id, job.turn.number) == (first.id, 3)
    assert [m["content"] for m in job.terms.prompt.messages] == ["One", "First", "Three"]
    third = await bench.engine.turns.finish(job.turn, make_outcome("Third"))
    assert third is not None
    assert (await admit(bench, follow_up(first, message="Four"))).turn.parent_id == third.id


async def test_a_parent_of_the_request_overrules_the_chosen_branch() -> None:
    bench = ServiceBench()
    first, second = await branched(bench)
    assert (await admit(bench, follow_up(first, parent_id=second.id))).turn.parent_id == second.id


async def test_without_history_a_message_follows_the_newest_answer() -> None:
    bench = ServiceBench()
    first, second = await branched(bench)
    bench.history.unavailable = True
    job = await admit(bench, follow_up(first))
    assert (job.turn.parent_id, job.turn.context) == (second.id, "complete")


async def test_the_chosen_branch_of_a_conversation_of_history_is_continued() -> None:
    bench, user_id = ServiceBench(), new_id()
    conversation_id, _ = adopt(bench, user_id)
    chosen = new_id()
    bench.history.owners[conversation_id] = replace(
        bench.history.owners[conversation_id], chosen_answer=chosen, chosen_at=times.now()
    )
    bench.history.past[chosen] = [PastExchange(chosen, None, "Which size?", "Large.")]
    job = await admit(bench, make_request(user_id=user_id, conversation_id=conversation_id, message="Why?"))
    assert job.turn.parent_id == chosen
    assert [m["content"] for m in job.terms.prompt.messages] == ["Which size?", "Large.", "Why?"]


async def test_an_unknown_conversation_is_not_found_unless_the_request_creates_it() -> None:
    bench, chosen = ServiceBench(), new_id()
    with pytest.raises(ConversationNotFound):
        await admit(bench, make_request(conversation_id=chosen))
    assert bench.engine.turns.conversations == {}
    job = await admit(bench, make_request(conversation_id=chosen, create=True))
    assert conversation_of(job.turn) == chosen


async def test_the_flag_to_create_has_no_effect_on_an_existing_conversation() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    assert (await admit(bench, follow_up(first, create=True))).turn.number == 2
    with pytest.raises(ConversationNotFound):
        await admit(bench, make_request(conversation_id=first.conversation_id, create=True))


async def test_a_conversation_that_was_put_takes_messages_of_its_owner_only() -> None:
    bench, user_id, chosen = ServiceBench(), new_id(), new_id()
    creator = ConversationCreator(bench.engine.turns, bench.history)
    assert [(await creator.create(user_id, chosen)).new for _ in range(2)] == [True, False]
    with pytest.raises(ConversationNotFound):
        await creator.create(new_id(), chosen)
    with pytest.raises(ConversationNotFound):
        await admit(bench, make_request(conversation_id=chosen))
    job = await admit(bench, make_request(user_id=user_id, conversation_id=chosen))
    assert (job.turn.number, job.turn.parent_id) == (1, None)


async def test_a_conversation_whose_turn_is_not_in_history_yet_cannot_be_put_by_another_user() -> None:
    bench = ServiceBench()
    first = await completed(bench, make_request())
    creator = ConversationCreator(bench.engine.turns, bench.history)
    with pytest.raises(ConversationNotFound):
        await creator.create(new_id(), conversation_of(first))
    assert bench.history.owners == {}
    assert (await creator.create(first.user_id, conversation_of(first))).new


async def test_an_erased_user_cannot_put_a_conversation() -> None:
    bench, user_id = ServiceBench(), new_id()
    bench.engine.turns.erased_users.add(user_id)
    with pytest.raises(Erased):
        await ConversationCreator(bench.engine.turns, bench.history).create(user_id, new_id())
