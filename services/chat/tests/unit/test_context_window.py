"""Context window and token estimates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.admission.context_window import MIN_ANSWER_TOKENS, EarlierExchanges, fit
from chat.catalogue import Model, Target
from chat.errors import ContextLengthExceeded
from chat.model import PastExchange
from chat.token_estimate import estimate, estimate_messages
from parley.ids import new_id


def model_of(window: int, output: int) -> Model:
    return Model("m", "fake", "Fake", "fake", Target("http://fake", None), window, output)


def past_of(count: int, size: int) -> EarlierExchanges:
    return EarlierExchanges([PastExchange(new_id(), None, f"q{i} " + "x" * size, f"a{i}") for i in range(count, 0, -1)])


def test_all_exchanges_are_kept_while_they_fit() -> None:
    context = fit(past_of(3, 10), "now", system_prompt="be", model=model_of(1000, 100), max_tokens=None)
    assert [m["role"] for m in context.messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert context.messages[1]["content"].startswith("q1 ")
    assert (context.state, context.omitted_turns, context.max_tokens) == ("complete", 0, 100)


def test_the_oldest_exchanges_are_omitted_and_counted() -> None:
    context = fit(past_of(50, 100), "now", system_prompt="be", model=model_of(600, 100), max_tokens=None)
    assert context.messages[0] == {"role": "system", "content": "be"}
    assert context.messages[-1] == {"role": "user", "content": "now"}
    assert context.messages[-3]["content"].startswith("q50 ")
    assert context.state == "trimmed"
    assert context.omitted_turns == 50 - (len(context.messages) - 2) // 2


def test_a_message_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded):
        fit(EarlierExchanges(), "x" * 4000, system_prompt=None, model=model_of(500, 100), max_tokens=None)


def test_a_long_message_leaves_less_room_for_the_answer() -> None:
    context = fit(EarlierExchanges(), "x" * 1600, system_prompt=None, model=model_of(500, 400), max_tokens=None)
    assert context.max_tokens == 500 - context.prompt_tokens


@given(count=st.integers(0, 60), size=st.integers(0, 400), window=st.integers(256, 4000), output=st.integers(1, 4000))
@settings(max_examples=60, deadline=None)
def test_prompt_and_answer_always_fit_into_the_window(count: int, size: int, window: int, output: int) -> None:
    model = model_of(window, min(output, window - 1))
    context = fit(past_of(count, size), "now", system_prompt=None, model=model, max_tokens=None)
    assert context.prompt_tokens == estimate_messages(context.messages)
    assert context.prompt_tokens + context.max_tokens <= window
    assert context.max_tokens >= 1
    assert context.prompt_tokens <= window - MIN_ANSWER_TOKENS


@given(st.text())
def test_an_estimate_is_never_less_than_a_quarter_of_the_characters(text: str) -> None:
    assert len(text) / 4 <= estimate(text) <= max(1, len(text))
