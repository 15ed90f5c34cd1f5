"""Anthropic's Python client with Parley's base URL and an API key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from parley_testing.http.client import Account

if TYPE_CHECKING:
    import anthropic

pytestmark = pytest.mark.e2e

WEATHER: Any = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object", "properties": {}}}
LIMITS: Any = {"model": "default", "max_tokens": 100}


@pytest.fixture
def client(account: Account) -> Iterator[anthropic.Anthropic]:
    import anthropic

    with anthropic.Anthropic(base_url=account.url, api_key=account.key, max_retries=0, timeout=20) as found:
        yield found


def asked(text: str) -> Any:
    return [{"role": "user", "content": text}]


# [covers messages, usage]
def test_a_message_is_whole_and_metered(client: anthropic.Anthropic) -> None:
    made = client.messages.create(
        **LIMITS,
        messages=asked("Hi [[fake tokens=3 cached_tokens=1]]"),
        system="Be short.",
        stop_sequences=["END"],
        metadata={"user_id": "u-7"},
        extra_body={"temperature": 0.5, "top_p": 0.9},
    )
    assert [block.to_dict() for block in made.content] == [{"type": "text", "text": "t1 t2 t3", "citations": None}]
    assert (made.role, made.stop_reason, made.usage.cache_read_input_tokens) == ("assistant", "end_turn", 1)
    assert made.usage.output_tokens == 3
    assert made._request_id
    assert client.messages.count_tokens(model="default", messages=asked("Hi")).input_tokens > 0


# [covers messages, stream]
def test_a_stream_gathers_to_the_message_and_names_every_event(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**LIMITS, messages=asked("Hi [[fake tokens=4]]")) as stream:
        assert stream.request_id
        assert "".join(stream.text_stream) == "t1 t2 t3 t4"
        found = stream.get_final_message()
    assert (found.stop_reason, found.usage.output_tokens) == ("end_turn", 4)
    kinds = [event.type for event in client.messages.create(**LIMITS, messages=asked("Hi"), stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


# [covers messages, tools]
@pytest.mark.parametrize("streams", [False, True])
def test_tool_results_continue_the_answer(client: anthropic.Anthropic, *, streams: bool) -> None:
    question = asked("Weather? [[fake tool_calls=2]]")
    if streams:
        with client.messages.stream(**LIMITS, messages=question, tools=[WEATHER]) as stream:
            made = stream.get_final_message()
    else:
        made = client.messages.create(**LIMITS, messages=question, tools=[WEATHER])
    calls = [block for block in made.content if block.type == "tool_use"]
    assert (made.stop_reason, len({call.id for call in calls})) == ("tool_use", 2)
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "Sun"} for call in calls]
    history: Any = [*question, {"role": "assistant", "content": made.content}, {"role": "user", "content": results}]
    answer = client.messages.create(**LIMITS, messages=history, tools=[WEATHER])
    assert answer.content


# [covers messages, tools]
def test_the_tool_runner_calls_the_tools_and_returns_the_answer(client: anthropic.Anthropic) -> None:
    from anthropic import beta_tool

    @beta_tool
    def weather(n: int) -> str:
        """Return the weather.

        Args:
            n: The day.
        """
        return f"Sun {n}"

    asks_once: Any = [{"role": "user", "content": "Weather? [[fake tool_calls=1]]"}]
    runner = client.beta.messages.tool_runner(**LIMITS, messages=asks_once, tools=[weather], max_iterations=2)
    first = next(runner)
    results = runner.generate_tool_call_response()
    assert (first.stop_reason, results is not None) == ("tool_use", True)
    assert next(runner).content


class Place(BaseModel):
    """What the model answers with."""

    city: str


# [covers messages, structured output]
def test_an_answer_has_the_form_that_the_client_asks_for(client: anthropic.Anthropic) -> None:
    question = asked("""Where? [[fake text='{"city":"Rome"}']]""")
    made = client.messages.parse(**LIMITS, messages=question, output_format=Place)
    assert made.parsed_output == Place(city="Rome")


# [covers errors]
def test_errors_have_the_classes_of_the_client(account: Account, client: anthropic.Anthropic) -> None:
    import anthropic

    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(**LIMITS, messages=asked("Hi"), extra_body={"best_of": 2})
    body: Any = refused.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert body["error"]["message"].startswith("best_of: ")
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="gpt-x", max_tokens=10, messages=asked("Hi"))
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="parley_wrong").messages.create(**LIMITS, messages=asked("Hi"))
    both = {"Authorization": f"Bearer {account.token}", "X-Api-Key": account.key}
    with pytest.raises(anthropic.BadRequestError, match="two different credentials"):
        client.messages.create(**LIMITS, messages=asked("Hi"), extra_headers=both)
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**LIMITS, messages=asked("Hi [[fake status=429]]"))
    with anthropic.Anthropic(base_url=account.url, auth_token=account.token, max_retries=0) as by_token:
        assert by_token.messages.create(**LIMITS, messages=asked("Hi")).content
