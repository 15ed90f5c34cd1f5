"""Context window and token estimates."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.admission.context_window import (
    MIN_ANSWER_TOKENS,
    EarlierExchanges,
    NewInput,
    answer_room,
    client_context,
    fit,
)
from chat.catalogue import Model, Target
from chat.errors import ContextLengthExceeded
from chat.model import ToolResult
from chat.past_exchanges import PastExchange, result_steps
from chat.token_estimate import PER_IMAGE, estimate, estimate_messages
from chat_testing.turns import MODEL, make_request
from parley.ids import new_id


def model_of(window: int, output: int) -> Model:
    return Model("m", "fake", "Fake", "fake", Target("http://fake", None), window, output)


def past_of(count: int, size: int) -> EarlierExchanges:
    return EarlierExchanges([PastExchange(new_id(), None, f"q{i} " + "x" * size, f"a{i}") for i in range(count, 0, -1)])


def test_all_exchanges_are_kept_while_they_fit() -> None:
    context = fit(past_of(3, 10), NewInput("now"), system_prompt="be", model=model_of(1000, 100), max_tokens=None)
    assert [m["role"] for m in context.messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert context.messages[1]["content"].startswith("q1 ")
    assert (context.state, context.omitted_turns, context.max_tokens) == ("complete", 0, 100)


def test_the_oldest_exchanges_are_omitted_and_counted() -> None:
    context = fit(past_of(50, 100), NewInput("now"), system_prompt="be", model=model_of(600, 100), max_tokens=None)
    assert context.messages[0] == {"role": "system", "content": "be"}
    assert context.messages[-1] == {"role": "user", "content": "now"}
    assert context.messages[-3]["content"].startswith("q50 ")
    assert context.state == "trimmed"
    assert context.omitted_turns == 50 - (len(context.messages) - 2) // 2


@pytest.mark.parametrize(("output", "asked_for"), [(999, None), (1000, 5000), (500, None)])
def test_a_long_answer_leaves_half_of_the_window_to_the_conversation(output: int, asked_for: int | None) -> None:
    model = model_of(1000, output)
    short = fit(past_of(2, 10), NewInput("now"), system_prompt="be", model=model, max_tokens=asked_for)
    assert (short.state, short.max_tokens) == ("complete", min(output, 1000 - short.prompt_tokens))
    long = fit(past_of(50, 100), NewInput("now"), system_prompt="be", model=model, max_tokens=asked_for)
    assert long.state == "trimmed"
    assert 400 < long.prompt_tokens <= 500 <= long.max_tokens


def test_a_message_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded, match=r"about \d{4} tokens. The model accepts at most 484\."):
        fit(EarlierExchanges(), NewInput("x" * 4000), system_prompt=None, model=model_of(500, 100), max_tokens=None)


def test_a_long_message_leaves_less_room_for_the_answer() -> None:
    context = fit(
        EarlierExchanges(), NewInput("x" * 1600), system_prompt=None, model=model_of(500, 400), max_tokens=None
    )
    assert context.max_tokens == 500 - context.prompt_tokens


CALLS = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
RESULT = ToolResult(new_id(), "c1", "Rain")


def exchange(message: str, answer: str = "", **members: Any) -> PastExchange:
    return PastExchange(new_id(), None, message, answer, **members)


def prompt_of(*newest_first: PastExchange, new: NewInput | None = None) -> list[tuple[str, Any]]:
    """Return role and content of the prompt's messages, for calls and results the ID of the call."""
    past = EarlierExchanges(newest_first)
    found = fit(past, new or NewInput("now"), system_prompt=None, model=model_of(8000, 100), max_tokens=None)
    assert found.prompt_tokens == estimate_messages(found.messages)
    return [
        (m["role"], m["tool_calls"][0]["id"] if "tool_calls" in m else m.get("tool_call_id") or m["content"])
        for m in found.messages
    ]


def test_the_question_of_a_tool_call_without_result_stays_in_the_prompt() -> None:
    assert prompt_of(exchange("Weather?", tool_calls=CALLS)) == [("user", "Weather?"), ("user", "now")]
    said = exchange("Weather?", "Let me see.", tool_calls=CALLS)
    assert prompt_of(said) == [("user", "Weather?"), ("assistant", "Let me see."), ("user", "now")]


def test_a_tool_call_is_followed_by_its_result_and_the_answer() -> None:
    asked = exchange("Weather?", tool_calls=CALLS)
    answered = exchange("Weather?", "Rainy.", before=result_steps([RESULT]), continues=True)
    tools = [("user", "Weather?"), ("assistant", "c1"), ("tool", "c1"), ("assistant", "Rainy.")]
    assert prompt_of(answered, asked) == [*tools, ("user", "now")]
    assert prompt_of(asked, new=NewInput("Weather?", [RESULT], continues=True)) == tools[:-1]


def test_an_answer_that_is_generated_again_from_results_omits_nothing() -> None:
    past = EarlierExchanges([exchange("Weather?", tool_calls=CALLS), exchange("Hello", "Hi")])
    new = NewInput("Weather?", [RESULT], continues=True)
    context = fit(past, new, system_prompt=None, model=model_of(8000, 100), max_tokens=None)
    assert (context.state, context.omitted_turns, len(context.messages)) == ("complete", 0, 5)


def test_a_result_that_came_with_the_next_message_follows_its_call() -> None:
    asked = exchange("Weather?", tool_calls=CALLS)
    later = exchange("And Paris?", "Sunny.", before=result_steps([RESULT]))
    assert prompt_of(later, asked) == [
        ("user", "Weather?"),
        ("assistant", "c1"),
        ("tool", "c1"),
        ("user", "And Paris?"),
        ("assistant", "Sunny."),
        ("user", "now"),
    ]


def test_results_whose_call_is_not_known_are_left_out_but_not_the_question() -> None:
    orphan = exchange("Weather?", "Rainy.", before=result_steps([RESULT]), continues=True)
    assert prompt_of(orphan) == [("user", "Weather?"), ("assistant", "Rainy."), ("user", "now")]
    other = exchange("Weather?", tool_calls=[{**CALLS[0], "id": "c2"}])
    assert prompt_of(orphan, other) == [("user", "Weather?"), ("assistant", "Rainy."), ("user", "now")]
    new = NewInput("Weather?", [RESULT], continues=True)
    assert prompt_of(new=new) == [("user", "Weather?")]


@pytest.mark.parametrize(
    "call", [{}, {"id": ["c1"]}, {"id": {}, "function": {"name": "f"}}, {"id": "c1"}, {"id": "c1", "function": "f"}]
)
def test_an_imported_call_that_is_none_is_left_out(call: dict[str, Any]) -> None:
    result = result_steps([ToolResult(new_id(), "c1", "Rain")])
    said = exchange("Hi", "Yes", tool_calls=[call], after=result)
    assert prompt_of(said) == [("user", "Hi"), ("assistant", "Yes"), ("user", "now")]


def test_a_question_and_its_tool_calls_are_kept_or_omitted_together() -> None:
    asked = exchange("Weather? " + "x" * 800, tool_calls=CALLS)
    answered = exchange("Weather?", "Rainy.", before=result_steps([RESULT]), continues=True)
    past = EarlierExchanges([answered, asked])
    context = fit(past, NewInput("now"), system_prompt=None, model=model_of(256, 100), max_tokens=None)
    assert context.messages == [{"role": "user", "content": "now"}]
    assert (context.state, context.omitted_turns) == ("trimmed", 2)


@given(count=st.integers(0, 60), size=st.integers(0, 400), window=st.integers(256, 4000), output=st.integers(1, 4000))
@settings(max_examples=60, deadline=None)
def test_prompt_and_answer_always_fit_into_the_window(count: int, size: int, window: int, output: int) -> None:
    model = model_of(window, min(output, window - 1))
    context = fit(past_of(count, size), NewInput("now"), system_prompt=None, model=model, max_tokens=None)
    assert context.prompt_tokens == estimate_messages(context.messages)
    assert context.prompt_tokens + context.max_tokens <= window
    assert context.max_tokens >= 1
    assert context.prompt_tokens <= window - MIN_ANSWER_TOKENS


def test_images_count_as_part_of_the_prompt() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    said = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image, image]}]
    assert estimate_messages(said) > 2 * PER_IMAGE
    with pytest.raises(ContextLengthExceeded):
        client_context(make_request(messages=said * 100), MODEL)


@given(st.text())
def test_an_estimate_is_never_less_than_a_quarter_of_the_characters(text: str) -> None:
    assert len(text) / 4 <= estimate(text) <= max(1, len(text))


WITH_DEFAULTS = replace(MODEL, system_prompt="Be brief.", default_max_tokens=100)


@pytest.mark.parametrize(("given", "granted"), [(None, 100), (50, 50), (5000, MODEL.max_output_tokens)])
def test_the_models_default_length_applies_to_requests_without_one(given: int | None, granted: int) -> None:
    assert answer_room(10, given, WITH_DEFAULTS) == granted


def test_tools_and_schemas_count_as_part_of_the_prompt() -> None:
    said = [{"role": "user", "content": "Hi"}]
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 4000}}]
    plain = client_context(make_request(messages=said, options={"seed": 1}), MODEL)
    with_tools = client_context(make_request(messages=said, options={"tools": tools}), MODEL)
    assert with_tools.prompt_tokens >= plain.prompt_tokens + 1000
    with pytest.raises(ContextLengthExceeded):
        client_context(make_request(messages=said, options={"tools": tools * 10}), MODEL)


def test_the_models_system_prompt_applies_to_messages_without_one() -> None:
    user = {"role": "user", "content": "Hi"}
    own = {"role": "developer", "content": "Own."}
    context = client_context(make_request(messages=[user]), WITH_DEFAULTS)
    assert context.messages == [{"role": "system", "content": "Be brief."}, user]
    assert context.prompt_tokens > client_context(make_request(messages=[user]), MODEL).prompt_tokens
    assert client_context(make_request(messages=[own, user]), WITH_DEFAULTS).messages == [own, user]
