"""No request to a provider has a tool call without its result, or a result without its call, whatever came before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.history import ConversationOwner, RegenerationSource
from chat.model import ToolResult, Turn
from chat.past_exchanges import PastExchange, PastStep
from chat_testing.admission import admit, follow_up
from chat_testing.bench import EngineBench
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import MODEL, make_catalogue, make_outcome, make_turn
from parley import times
from parley.ids import new_id

SMALL = replace(MODEL, alias="small", context_window=512, max_output_tokens=64)
IMPORTED: list[list[dict[str, Any]] | None] = [
    None,
    [{"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    [{"name": "no function at all"}],
    [{"id": 7, "function": "f"}],
]
"""Calls of imported answers, which may be any objects."""
STEPS = ("message", "results", "results", "edit", "regenerate")
ENDS = ("text", "calls", "calls", "cancelled calls", "failed")


def require_pairs(messages: Sequence[dict[str, Any]]) -> None:
    """Assert that each message with calls is followed by exactly one result for each of them."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting, messages
            waiting.remove(message["tool_call_id"])
            continue
        assert waiting == [], messages
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        assert all(isinstance(call["function"]["name"], str) for call in message.get("tool_calls") or ())
        assert message["content"] or waiting, messages
    assert waiting == []
    assert messages[-1]["role"] in {"user", "tool"}


def calls_of(count: int) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": '{"n":'}
    return [{"id": f"call_{number}", "type": "function", "function": function} for number in range(count)]


def imported(bench: ServiceBench, draw: Any) -> Turn:
    """Give history an imported conversation; returns a stand-in of its newest answer."""
    user_id, conversation_id, older, newest = (new_id() for _ in range(4))
    steps = draw(st.lists(st.sampled_from([PastStep("tool", "Rain", tool_call_id="call_0")]), max_size=2))
    calls, before = draw(st.sampled_from(IMPORTED)), draw(st.sampled_from(IMPORTED))
    first = PastExchange(older, None, "Weather?", "", before, after=tuple(steps))
    last = PastExchange(newest, older, "Weather?", draw(st.sampled_from(["", "Wet."])), calls, before=tuple(steps))
    bench.history.past[newest], bench.history.past[older] = [last, first], [first]
    bench.history.owners[conversation_id] = ConversationOwner(user_id, False, 2, newest)
    bench.history.regenerations[newest] = RegenerationSource(older, new_id(), "Weather?", times.now(), calls)
    return make_turn(id=newest, user_id=user_id, conversation_id=conversation_id, tool_calls=calls)


def request_of(step: str, turns: Sequence[Turn], draw: Any) -> Any:
    """Return the request of a step; None if it makes no sense now."""
    newest, chosen = turns[-1], draw(st.sampled_from(turns))
    model = draw(st.sampled_from(["default", "small"]))
    if step == "regenerate":
        return follow_up(chosen, message=None, regenerate=chosen.id, model=model)
    if step == "edit":
        return follow_up(chosen, message="Edited", parent_id=chosen.parent_id or chosen.conversation_id, model=model)
    if step == "message":
        return follow_up(newest, message="Next " * draw(st.sampled_from([1, 200])), model=model)
    ids = [call["id"] for call in newest.tool_calls or () if isinstance(call.get("id"), str)]
    if not ids:
        return None
    results = tuple(ToolResult(new_id(), one, "Rain") for one in ids)
    members = {"tool_results": results, "answers_tool_results": True, "results_at": "/tool_results"}
    return follow_up(newest, message=None, parent_id=newest.id, model=model, **members)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(ENDS)), min_size=1, max_size=8), st.data())
async def test_every_prompt_of_a_random_conversation_pairs_calls_and_results(
    steps: list[tuple[str, str]], data: st.DataObject
) -> None:
    bench = ServiceBench(engine=EngineBench(catalogue=make_catalogue(MODEL, SMALL)))
    turns = [imported(bench, data.draw)]
    for step, end in steps:
        request = request_of(step, turns, data.draw)
        if request is None:
            continue
        job = await admit(bench, request)
        require_pairs(job.terms.prompt.messages)
        calls = calls_of(data.draw(st.integers(1, 3))) if "calls" in end else None
        status: Any = {"cancelled calls": "cancelled", "failed": "failed"}.get(end, "completed")
        texts = ("Sunny.",) if end == "text" or (calls and data.draw(st.booleans())) else ()
        turn = await bench.engine.turns.finish(job.turn, make_outcome(*texts, tool_calls=calls, status=status))
        assert turn is not None
        if turn.status != "failed":
            turns.append(turn)
