"""Compatibility with OpenAI's Python client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionMessageParam


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


async def test_a_completion_counts_its_words_and_numbers_its_tokens(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="any-name", messages=user("three little words"))
    assert answer.choices[0].message.content == " ".join(f"t{number}" for number in range(1, 17))
    assert (answer.model, answer.choices[0].finish_reason) == ("any-name", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 16, 19)


async def test_a_stream_has_the_role_first_then_tokens_finish_and_usage(openai_client: openai.AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(
        model="fake", messages=user("[[fake tokens=3]]"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    assert [delta.content for delta in deltas[1:]] == ["t1", " t2", " t3", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * 4 + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert len({chunk.id for chunk in chunks}) == 1


async def test_max_tokens_limits_the_answer_with_finish_reason_length(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="fake", messages=user("x"), max_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("t1 t2", "length")


async def test_streamed_tool_calls_add_up_to_the_unstreamed_ones(openai_client: openai.AsyncOpenAI) -> None:
    question = user("[[fake tool_calls=2]]")
    tools: list[openai.types.chat.ChatCompletionToolParam] = [{"type": "function", "function": {"name": "weather"}}]
    whole = await openai_client.chat.completions.create(model="fake", messages=question, tools=tools)
    async with openai_client.chat.completions.stream(model="fake", messages=question, tools=tools) as stream:
        streamed = await stream.get_final_completion()
    for completion in (whole, streamed):
        calls = completion.choices[0].message.tool_calls or []
        assert [call.function.arguments for call in calls if call.type == "function"] == ['{"n":1}', '{"n":2}']
        assert completion.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
    ],
)
async def test_an_error_status_becomes_the_clients_own_exception(
    openai_client: openai.AsyncOpenAI, status: int, expected: str
) -> None:
    import openai

    kind: type[openai.APIStatusError] = getattr(openai, expected)
    with pytest.raises(kind) as caught:
        await openai_client.chat.completions.create(model="fake", messages=user(f"[[fake status={status}]]"))
    assert caught.value.status_code == status
    assert caught.value.request_id is not None


async def test_an_error_inside_the_stream_is_raised_after_the_tokens(openai_client: openai.AsyncOpenAI) -> None:
    import openai

    stream = await openai_client.chat.completions.create(
        model="fake", messages=user("[[fake error_after=2 error_message=overheated]]"), stream=True
    )
    received = [(await anext(stream)).choices[0].delta.content for _ in range(3)]
    assert received == ["", "t1", " t2"]
    with pytest.raises(openai.APIError, match="overheated"):
        await anext(stream)


async def test_models_are_listed_and_any_name_is_accepted(openai_client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in openai_client.models.list()] == ["fake"]
    assert (await openai_client.models.retrieve("org/other")).id == "org/other"


async def test_the_client_retries_a_429_after_the_given_time(openai_client: openai.AsyncOpenAI) -> None:
    patient = openai_client.with_options(max_retries=2)
    question = user("retry me [[fake status=429 retry_after=0.01 times=2]]")
    answer = await patient.chat.completions.create(model="fake", messages=question)
    assert answer.choices[0].message.content is not None


async def test_a_required_call_is_made(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(
        model="fake",
        messages=user("weather?"),
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        tool_choice="required",
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls or () if call.type == "function"] == ["weather"]


async def test_an_embedding_depends_on_its_text_only(openai_client: openai.AsyncOpenAI) -> None:
    one = await openai_client.embeddings.create(model="v", input=["a", "b"], dimensions=4)
    two = await openai_client.embeddings.create(model="v", input="b", dimensions=4, encoding_format="float")
    assert one.data[1].embedding == pytest.approx(two.data[0].embedding, abs=1e-6)
    assert one.data[0].embedding != one.data[1].embedding
    assert (len(one.data[0].embedding), one.usage.prompt_tokens) == (4, 2)
