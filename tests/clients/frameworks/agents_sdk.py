"""OpenAI's Agents SDK, with only another client."""

import asyncio
import os
from typing import Any
from uuid import uuid4

import pytest
from agents import (
    Agent,
    OpenAIConversationsSession,
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


def config_of(client: AsyncOpenAI) -> RunConfig:
    return RunConfig(model_provider=OpenAIProvider(openai_client=client))


def question(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


# [covers conversations]
def test_items_of_a_session_are_added_read_taken_off_and_cleared(client: AsyncOpenAI) -> None:
    async def used() -> None:
        session = OpenAIConversationsSession(openai_client=client)
        texts = [f"Message {number}" for number in range(45)]  # three requests, and more than a page of items
        await session.add_items([question(text) for text in texts])
        assert [text_of(item) for item in await session.get_items()] == texts
        assert [text_of(item) for item in await session.get_items(limit=2)] == texts[-2:]
        taken = await session.pop_item()
        assert taken is not None
        assert text_of(taken) == texts[-1]
        assert [text_of(item) for item in await session.get_items()] == texts[:-1]
        await session.add_items([question("After")])
        assert [text_of(item) for item in await session.get_items(limit=2)] == [texts[-2], "After"]
        cleared = session.session_id
        await session.clear_session()
        assert await session.get_items() == []
        assert session.session_id != cleared

    asyncio.run(used())


# [covers conversations]
def test_an_empty_session_has_nothing_to_take_off(client: AsyncOpenAI) -> None:
    assert asyncio.run(OpenAIConversationsSession(openai_client=client).pop_item()) is None


# [covers conversations, tools]
def test_a_session_keeps_the_calls_of_tools_and_their_results(client: AsyncOpenAI) -> None:
    async def talked() -> None:
        session = OpenAIConversationsSession(openai_client=client)
        text = f"Weather? {uuid4()} [[fake tool_calls=2 times=1]]"
        found = await Runner.run(AGENT, text, session=session, run_config=config_of(client))
        assert found.final_output.startswith("t1 t2")
        kinds = [item.get("type") for item in await session.get_items()]
        assert kinds == ["message", *["function_call"] * 2, *["function_call_output"] * 2, "message"]
        again = await Runner.run(AGENT, "And? [[fake tokens=2]]", session=session, run_config=config_of(client))
        assert again.final_output == "t1 t2"
        items = await session.get_items()
        calls = {item["call_id"] for item in items if item.get("type") == "function_call"}
        assert calls == {item["call_id"] for item in items if item.get("type") == "function_call_output"}
        assert [text_of(item) for item in items[-2:]] == ["And? [[fake tokens=2]]", "t1 t2"]

    asyncio.run(talked())


# [covers conversations, stream, tools]
def test_a_session_is_continued_while_answers_are_streamed(client: AsyncOpenAI) -> None:
    async def talked() -> None:
        session = OpenAIConversationsSession(openai_client=client)
        for text in (f"Weather? {uuid4()} [[fake tool_calls=1 times=1]]", "And? [[fake tokens=3]]"):
            shown, found = "", Runner.run_streamed(AGENT, text, session=session, run_config=config_of(client))
            async for event in found.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    shown += event.data.delta
            assert shown == found.final_output
        kinds = [item.get("type") for item in await session.get_items()]
        assert kinds == ["message", "function_call", "function_call_output", "message", "message", "message"]

    asyncio.run(talked())


# [covers conversations]
def test_an_answer_is_taken_back_and_asked_for_again(client: AsyncOpenAI) -> None:
    async def talked() -> None:
        session = OpenAIConversationsSession(openai_client=client)
        await Runner.run(AGENT, "Two and two? [[fake tokens=2]]", session=session, run_config=config_of(client))
        answer, asked = await session.pop_item(), await session.pop_item()
        assert answer is not None
        assert asked is not None
        assert text_of(answer) == "t1 t2"
        assert await session.get_items() == []
        again = await Runner.run(
            AGENT, "Two and three? [[fake tokens=3]]", session=session, run_config=config_of(client)
        )
        assert again.final_output == "t1 t2 t3"
        assert [text_of(item) for item in await session.get_items()] == ["Two and three? [[fake tokens=3]]", "t1 t2 t3"]

    asyncio.run(talked())


# [covers conversations]
def test_a_session_is_continued_by_its_conversation(client: AsyncOpenAI) -> None:
    async def talked() -> None:
        session = OpenAIConversationsSession(openai_client=client)
        await Runner.run(AGENT, "Hi [[fake tokens=2]]", session=session, run_config=config_of(client))
        other = OpenAIConversationsSession(conversation_id=session.session_id, openai_client=client)
        await Runner.run(AGENT, "And? [[fake tokens=1]]", session=other, run_config=config_of(client))
        assert len(await session.get_items()) == 4
        assert await other.get_items() == await session.get_items()

    asyncio.run(talked())


# [covers conversations, responses]
def test_a_run_with_the_id_of_a_conversation_needs_no_session(client: AsyncOpenAI) -> None:
    async def talked() -> None:
        made = await client.conversations.create()
        text = f"Weather? {uuid4()} [[fake tool_calls=1 times=1]]"
        await Runner.run(AGENT, text, conversation_id=made.id, run_config=config_of(client))
        items = [item async for item in client.conversations.items.list(made.id, order="asc")]
        assert [item.type for item in items] == ["message", "function_call", "function_call_output", "message"]

    asyncio.run(talked())


def text_of(item: Any) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
