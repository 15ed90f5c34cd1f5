"""OpenAI's Agents SDK, with only another client."""

import asyncio
import os
from typing import Any
from uuid import uuid4

import pytest
from agents import (
    Agent,
    OpenAIProvider,
    RunConfig,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI, NotFoundError

set_tracing_disabled(disabled=True)


@function_tool
def weather(n: int) -> str:
    """The weather of a day."""
    return f"Day {n}: sun"


AGENT = Agent(name="a", model="default", instructions="Be short.", tools=[weather])


@pytest.fixture
def client() -> AsyncOpenAI:
    url, token = f"{os.environ['PARLEY_TEST_URL']}/v1", os.environ["PARLEY_TEST_TOKEN"]
    return AsyncOpenAI(base_url=url, api_key=token, max_retries=0)


def run(client: AsyncOpenAI, text: str, *, agent: Any = AGENT, responses: bool = True) -> Any:
    config = RunConfig(model_provider=OpenAIProvider(openai_client=client, use_responses=responses))
    return asyncio.run(Runner.run(agent, text, run_config=config))


# [covers responses, usage]
def test_an_agent_answers(client: AsyncOpenAI) -> None:
    found = run(client, "Hi [[fake tokens=3]]")
    assert (found.final_output, found.context_wrapper.usage.output_tokens) == ("t1 t2 t3", 3)


# [covers responses, stream]
def test_an_answer_is_streamed(client: AsyncOpenAI) -> None:
    async def streamed() -> tuple[str, str]:
        config = RunConfig(model_provider=OpenAIProvider(openai_client=client))
        found, text = Runner.run_streamed(AGENT, "Hi [[fake tokens=4]]", run_config=config), ""
        async for event in found.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                text += event.data.delta
        return text, found.final_output

    assert asyncio.run(streamed()) == ("t1 t2 t3 t4", "t1 t2 t3 t4")


# [covers responses, tools]
def test_tools_run_until_there_is_an_answer(client: AsyncOpenAI) -> None:
    found = run(client, f"Weather? {uuid4()} [[fake tool_calls=2 times=1]]")
    outputs = [item.output for item in found.new_items if item.type == "tool_call_output_item"]
    assert outputs == ["Day 1: sun", "Day 2: sun"]
    assert found.final_output.startswith("t1 t2")


# [covers chat completions, tools]
def test_an_agent_on_chat_completions_answers(client: AsyncOpenAI) -> None:
    found = run(client, f"Weather? {uuid4()} [[fake tool_calls=1 times=1]]", responses=False)
    assert found.final_output.startswith("t1 t2")


# [covers errors]
def test_an_unknown_model_is_the_clients_error(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError):
        run(client, "Hi", agent=Agent(name="a", model="none"))
