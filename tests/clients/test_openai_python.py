"""OpenAI's Python client with Parley's base URL and an API key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from parley.ids import new_id
from parley_testing.http.client import Account

if TYPE_CHECKING:
    import openai

pytestmark = pytest.mark.e2e

WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture
def client(account: Account) -> Iterator[openai.OpenAI]:
    import openai

    with openai.OpenAI(base_url=f"{account.url}/v1", api_key=account.key, max_retries=0, timeout=20) as found:
        yield found


@pytest.fixture
async def async_client(account: Account) -> AsyncIterator[openai.AsyncOpenAI]:
    import openai

    async with openai.AsyncOpenAI(base_url=f"{account.url}/v1", api_key=account.key, timeout=20) as found:
        yield found


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


# [covers models]
def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "default" in [model.id for model in client.models.list()]


# [covers models]
def test_a_model_with_a_slash_in_its_id_is_returned_by_both_spellings(client: openai.OpenAI) -> None:
    import httpx
    import openai

    name = "meta-llama/Llama-3-8B"
    assert client.models.retrieve(name).id == name
    for spelling in (name, name.replace("/", "%2F"), name.replace("/", "%2f")):
        assert client.get(f"/models/{spelling}", cast_to=httpx.Response).json()["id"] == name
    with pytest.raises(openai.NotFoundError):
        client.get(f"/models/{name}%2F..%2Fdefault", cast_to=httpx.Response)


# [covers chat completions, usage]
def test_a_completion_is_whole_and_metered(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="default", messages=said("Hi [[fake tokens=3]]"))
    assert found.choices[0].message.content == "t1 t2 t3"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert found.usage.completion_tokens == 3


# [covers chat completions, stream, usage]
def test_a_stream_ends_with_the_requested_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="default", messages=said("Hi [[fake tokens=4]]"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "t1 t2 t3 t4"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


# [covers chat completions, stream, tools]
def test_the_stream_helper_gathers_tool_calls(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="default", messages=said("Hi [[fake tool_calls=2]]"), tools=[WEATHER]
    ) as stream:
        found = stream.get_final_completion().choices[0]
    assert found.finish_reason == "tool_calls"
    assert found.message.tool_calls is not None
    assert len({call.id for call in found.message.tool_calls}) == 2


async def test_the_asynchronous_client_streams(async_client: openai.AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(
        model="default", messages=said("Hi [[fake tokens=4]]"), stream=True
    )
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "t1 t2 t3 t4"


# [covers errors]
@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"model": "none"}, "NotFoundError", "model_not_found"),
        ({"temperature": 3}, "UnprocessableEntityError", "validation_failed"),
        ({"messages": said("Hi [[fake status=429 retry_after=60]]")}, "RateLimitError", "provider_rate_limited"),
        ({"messages": said("Hi [[fake status=500]]"), "stream": True}, "InternalServerError", "provider_error"),
    ],
)
def test_a_refusal_raises_the_clients_own_error(
    client: openai.OpenAI, change: dict[str, Any], error: str, code: str
) -> None:
    import openai

    kind: type[openai.APIStatusError] = getattr(openai, error)
    request: dict[str, Any] = {"model": "default", "messages": said("Hi"), **change}
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**request)
    assert caught.value.code == code
    assert caught.value.request_id


# [covers files]
def test_a_file_expires_when_the_upload_says(client: openai.OpenAI) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": 3600}
    made = client.files.create(file=("a.txt", b"Hello"), purpose="user_data", expires_after=expiry)
    assert made.expires_at == made.created_at + 3600
    assert client.files.retrieve(made.id).expires_at == made.expires_at
    client.files.delete(made.id)


# [covers embeddings]
def test_texts_become_embeddings(client: openai.OpenAI) -> None:
    import openai

    found = client.embeddings.create(model="vectors", input=["one", "two words"], dimensions=4)
    assert [len(each.embedding) for each in found.data] == [4, 4]
    assert (found.model, found.usage.prompt_tokens) == ("vectors", 3)
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="default", input="one")
    assert caught.value.param == "model"


def test_a_wrong_key_is_an_authentication_error(account: Account) -> None:
    import openai

    with (
        openai.OpenAI(base_url=f"{account.url}/v1", api_key="parley_" + "x" * 38, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_a_stream_that_the_provider_breaks_off_raises(client: openai.OpenAI) -> None:
    import openai

    stream = client.chat.completions.create(model="default", messages=said("Hi [[fake cut_after=2]]"), stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


# [covers idempotency]
async def test_the_same_idempotency_key_gets_the_same_completion(async_client: openai.AsyncOpenAI) -> None:
    create = async_client.chat.completions.with_raw_response.create
    headers = {"Idempotency-Key": str(new_id())}
    first, again = [
        await create(model="default", messages=said("Hi [[fake tokens=1]]"), extra_headers=headers) for _ in range(2)
    ]
    assert again.headers["idempotency-replayed"] == "true"
    assert again.parse() == first.parse()
