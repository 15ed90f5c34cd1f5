"""LangChain's ChatOpenAI, with only another URL and key."""

import os
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import NotFoundError
from pydantic import BaseModel

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


class City(BaseModel):
    """A city."""

    name: str


def chat(model: str = "default", **options: Any) -> ChatOpenAI:
    url, key = f"{os.environ['PARLEY_TEST_URL']}/v1", os.environ["PARLEY_TEST_KEY"]
    return ChatOpenAI(model=model, base_url=url, api_key=key, max_retries=0, **options)


# [covers chat completions, usage]
def test_a_completion_is_whole_and_metered() -> None:
    found = chat().invoke("Hi [[fake tokens=3]]")
    assert (found.content, found.usage_metadata["output_tokens"]) == ("t1 t2 t3", 3)


# [covers chat completions, stream, usage]
def test_a_completion_is_streamed() -> None:
    chunks = list(chat(stream_usage=True).stream("Hi [[fake tokens=4]]"))
    assert "".join(chunk.content for chunk in chunks) == "t1 t2 t3 t4"
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 4


# [covers chat completions, tools]
def test_results_of_tools_are_answered() -> None:
    bound = chat().bind_tools([WEATHER])
    question = HumanMessage(f"Weather? {uuid4()} [[fake tool_calls=2 times=1]]")
    asked = bound.invoke([question])
    assert [call["name"] for call in asked.tool_calls] == ["weather", "weather"]
    results = [ToolMessage("Sun", tool_call_id=call["id"]) for call in asked.tool_calls]
    assert bound.invoke([question, asked, *results]).content.startswith("t1 t2")


# [covers chat completions, structured output]
def test_a_schema_gives_an_object() -> None:
    question = """Where? [[fake text='{"name":"Rome"}']]"""
    assert chat().with_structured_output(City).invoke(question) == City(name="Rome")


# [covers responses, stream]
def test_responses_are_whole_and_streamed() -> None:
    responses = chat(use_responses_api=True)
    assert responses.invoke("A response [[fake tokens=3]]").text == "t1 t2 t3"
    assert "".join(chunk.text for chunk in responses.stream("Hi [[fake tokens=4]]")) == "t1 t2 t3 t4"


# [covers errors]
def test_an_unknown_model_is_the_clients_error() -> None:
    with pytest.raises(NotFoundError):
        chat("none").invoke("Hi")
