"""The fake provider under Anthropic's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from fake_provider.process import FakeProvider

if TYPE_CHECKING:
    import anthropic

TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}

CALL: Any = {"type": "tool_use", "id": "a", "name": "f", "input": {}}


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    import anthropic

    async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="sk-secret", max_retries=0) as found:
        yield found


def asked(text: str) -> Any:
    return {"model": "fake", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}


async def test_a_stream_gathers_to_the_whole_message(client: anthropic.AsyncAnthropic) -> None:
    for question in ("Hi [[fake tokens=3 cached_tokens=1]]", "Hi [[fake tool_calls=2]]"):
        whole = await client.messages.create(**asked(question), tools=[TOOL])
        async with client.messages.stream(**asked(question), tools=[TOOL]) as stream:
            streamed = await stream.get_final_message()
        assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
        assert (streamed.stop_reason, streamed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
        assert streamed.usage.cache_read_input_tokens == whole.usage.cache_read_input_tokens


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 529])
async def test_errors_have_the_classes_of_the_client(client: anthropic.AsyncAnthropic, status: int) -> None:
    import anthropic

    with pytest.raises(anthropic.APIStatusError) as failed:
        await client.messages.create(**asked(f"Hi [[fake status={status} retry_after=2]]"))
    assert (failed.value.status_code, failed.value.response.headers["retry-after"]) == (status, "2")


@pytest.mark.parametrize(
    "changed",
    [
        {"max_tokens": None},
        {"messages": [{"role": "system", "content": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        {"messages": [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": "no result"}]},
        {"temperature": 1.5},
        {"stream_options": {"include_usage": True}},
    ],
)
async def test_what_the_api_refuses_is_refused(client: anthropic.AsyncAnthropic, changed: dict[str, Any]) -> None:
    import anthropic

    with pytest.raises(anthropic.BadRequestError):
        await client.messages.create(**{**asked("Hi"), "extra_body": changed})
