"""Stored turns that answer the results of tool calls."""

from typing import Any

import pytest

from chat.admission.turn_request import TurnRequest
from chat.history import RegenerationSource
from chat.model import ToolResult, Turn
from chat_testing.admission import admit, adopt, completed, follow_up
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import make_outcome, make_request
from parley import times
from parley.ids import new_id

CALLS = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]


async def called(bench: ServiceBench) -> Turn:
    """Take a turn that is answered by a tool call."""
    job = await admit(bench, make_request(message="Weather?"))
    turn = await bench.engine.turns.finish(job.turn, make_outcome(tool_calls=CALLS, finish_reason="tool_calls"))
    assert turn is not None
    return turn


def with_result(turn: Turn, tool_call_id: str = "c1", **changed: Any) -> TurnRequest:
    """Return the request of a client that sends the result of a call with all messages."""
    messages = [{"role": "user", "content": "Weather?"}, {"role": "tool", "content": "Rain"}]
    members = {"messages": messages, "answers_tool_results": True, **changed}
    return follow_up(turn, message="Weather?", tool_results=(ToolResult(new_id(), tool_call_id, "Rain"),), **members)


def roles(request_messages: Any) -> list[str]:
    return [message["role"] for message in request_messages]


async def test_the_turn_after_a_tool_call_keeps_the_users_question() -> None:
    bench = ServiceBench()
    job = await admit(bench, follow_up(await called(bench), message="Never mind"))
    assert [m["content"] for m in job.terms.prompt.messages] == ["Weather?", "Never mind"]


async def test_the_result_of_a_call_continues_its_turn_and_is_in_the_context_of_the_next() -> None:
    bench = ServiceBench()
    first = await called(bench)
    second = await completed(bench, with_result(first), "Rainy.")
    assert (second.continues, second.parent_id, second.user_message_id) == (True, first.id, first.user_message_id)
    assert [(one.tool_call_id, one.content) for one in second.tool_results] == [("c1", "Rain")]
    assert second.tool_results[0].id < second.id
    job = await admit(bench, follow_up(second, message="Thanks"))
    assert roles(job.terms.prompt.messages) == ["user", "assistant", "tool", "assistant", "user"]


async def test_a_result_without_its_call_is_stored_below_a_message_of_its_own() -> None:
    bench = ServiceBench()
    first = await called(bench)
    turn = (await admit(bench, with_result(first, "other"))).turn
    assert (turn.continues, len(turn.tool_results)) == (False, 1)
    assert turn.user_message_id != first.user_message_id
    new = (await admit(bench, make_request(tool_results=turn.tool_results, answers_tool_results=True))).turn
    assert (new.continues, new.tool_results) == (False, turn.tool_results)


async def test_a_result_that_comes_with_another_message_is_stored_with_it() -> None:
    bench = ServiceBench()
    first = await called(bench)
    request = with_result(first, answers_tool_results=False)
    turn = (await admit(bench, request)).turn
    assert (turn.continues, len(turn.tool_results)) == (False, 1)


async def test_an_answer_to_results_is_generated_again_from_them() -> None:
    bench = ServiceBench()
    second = await completed(bench, with_result(await called(bench)), "Rainy.")
    job = await admit(bench, follow_up(second, message=None, regenerate=second.id))
    assert (job.turn.continues, job.turn.tool_results) == (True, second.tool_results)
    assert roles(job.terms.prompt.messages) == ["user", "assistant", "tool"]


@pytest.mark.parametrize("available", [True, False])
async def test_the_result_of_a_call_that_only_history_knows_continues_it_if_history_tells(available: bool) -> None:
    bench, user_id = ServiceBench(), new_id()
    conversation_id, answer_id = adopt(bench, user_id)
    source = RegenerationSource(None, new_id(), "Weather?", times.now(), CALLS)
    if available:
        bench.history.regenerations[answer_id] = source
    members = {"tool_results": (ToolResult(new_id(), "c1", "Rain"),), "answers_tool_results": True}
    turn = (await admit(bench, make_request(user_id=user_id, conversation_id=conversation_id, **members))).turn
    assert turn.continues is available
    assert (turn.user_message_id == source.user_message_id) is available


async def test_results_of_a_turn_that_is_not_stored_are_not_kept() -> None:
    request = make_request(stored=False, tool_results=(ToolResult(new_id(), "c1", "Rain"),), answers_tool_results=True)
    assert (await admit(ServiceBench(), request)).turn.tool_results == ()
