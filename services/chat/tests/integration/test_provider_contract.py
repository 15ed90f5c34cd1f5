"""Contract of model providers: every wire format gives the same answers, usage and failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from chat.catalogue import Target
from chat.errors import ProviderFailure
from chat.generation import Prompt
from chat.parameters import ProviderKind
from chat.providers.failures import AttemptFailed
from chat.providers.http_provider import HttpProvider, open_session
from chat.providers.wire_formats import wire_format_of
from chat_testing.parsed_answers import ParsedAnswer
from fake_provider.process import FakeProvider
from parley.ids import new_id

pytestmark = pytest.mark.integration

KEY = "sk-canary"
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
PIXEL = "data:image/png;base64,AAAA"
NO_PARSER: Any = None
NewProvider = Callable[..., HttpProvider]


@pytest.fixture(params=["compatible", "anthropic"])
def kind(request: pytest.FixtureRequest) -> ProviderKind:
    found: ProviderKind = request.param
    return found


@pytest.fixture
async def client(kind: ProviderKind, provider: FakeProvider) -> AsyncIterator[NewProvider]:
    target = Target(provider.base_url, KEY, kind)
    async with open_session(4) as session:
        yield lambda timeout=10.0: HttpProvider(session, target, wire_format_of(target), timeout=timeout)


def asked(text: str, **options: Any) -> Prompt:
    return Prompt([{"role": "user", "content": text}], 1000, options=options or None)


async def read(client: HttpProvider, prompt: Prompt, found: ParsedAnswer | None = None) -> ParsedAnswer:
    answer = found or ParsedAnswer(NO_PARSER)
    async for chunks in client.stream("fake", prompt):
        answer.chunks += chunks
    return answer


async def failure_of(client: HttpProvider, prompt: Prompt) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as failed:
        await read(client, prompt)
    return failed.value


async def test_an_answer_has_text_a_reason_and_its_usage(client: NewProvider) -> None:
    answer = await read(client(), asked("one two [[fake tokens=3 cached_tokens=2]]"))
    assert (answer.texts, answer.finish_reason) == (["t1", " t2", " t3"], "stop")
    assert answer.usage is not None
    usage = answer.usage.model_dump()
    assert usage == {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "cached_tokens": 2,
        "reasoning_tokens": 0,
        "estimated": False,
    }
    assert answer.chunks[-1].response_model == "fake"


async def test_the_limit_of_tokens_ends_an_answer(client: NewProvider) -> None:
    answer = await read(client(), Prompt([{"role": "user", "content": "Hi"}], 4))
    assert (answer.text, answer.finish_reason) == ("t1 t2 t3 t4", "length")


async def test_a_filtered_answer_says_so(client: NewProvider) -> None:
    answer = await read(client(), asked("Hi [[fake tokens=1 finish_reason=content_filter]]"))
    assert answer.finish_reason == "content_filter"


async def test_tool_calls_are_answered_with_results(client: NewProvider, provider: FakeProvider) -> None:
    mark = str(new_id())
    question = {"role": "user", "content": f"{mark} [[fake tool_calls=2 times=1]]"}
    asks = await read(client(), Prompt([question], 1000, options={"tools": [WEATHER], "tool_choice": "required"}))
    assert asks.finish_reason == "tool_calls"
    assert [call["function"] for call in asks.calls] == [
        {"name": "weather", "arguments": '{"n":1}'},
        {"name": "weather", "arguments": '{"n":2}'},
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "Sun"} for call in asks.calls]
    said = {"role": "assistant", "content": None, "tool_calls": asks.calls}
    answer = await read(client(), Prompt([question, said, *results], 1000, options={"tools": [WEATHER]}))
    assert answer.finish_reason == "stop"
    assert "Sun" in str((await provider.journal(contains=mark))[-1]["request"])


async def test_the_system_prompt_and_images_reach_the_model(client: NewProvider, provider: FakeProvider) -> None:
    mark = str(new_id())
    parts = [{"type": "text", "text": mark}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    prompt = Prompt([{"role": "system", "content": "Be short."}, {"role": "user", "content": parts}], 10, 0.5)
    await read(client(), prompt)
    (call,) = await provider.journal(contains=mark)
    request = call["request"]
    assert "Be short." in str(request)
    assert "AAAA" in str(request)
    assert request["temperature"] == 0.5


async def test_the_key_is_sent_as_the_api_wants_it(
    client: NewProvider, provider: FakeProvider, kind: ProviderKind
) -> None:
    failed = await failure_of(client(), asked("Hi [[fake status=401 leak_key]]"))
    assert (failed.failure.code, failed.retryable, KEY in str(failed.failure)) == ("provider_error", False, False)
    mark = str(new_id())
    await read(client(), asked(mark))
    headers = (await provider.journal(contains=mark))[0]["headers"]
    assert {"authorization", "x-api-key"} & set(headers) == {"x-api-key" if kind == "anthropic" else "authorization"}


@pytest.mark.parametrize(
    ("knobs", "code", "retryable", "retry_after"),
    [
        ("status=400", "provider_error", False, None),
        ("status=400 error_message='prompt is too long: 9 > 8'", "context_length_exceeded", False, None),
        ("status=429 retry_after=7", "provider_rate_limited", True, 7),
        ("status=500", "provider_error", True, None),
        ("status=503 retry_after=2", "provider_unavailable", True, 2),
        ("status=529 retry_after=3", "provider_unavailable", True, 3),
        ("status=302 location=http://127.0.0.1:1/", "provider_error", False, None),
        ("cut_after=-1", "provider_unavailable", True, None),
        ("cut_after=0", "provider_error", True, None),
        ("garbage_after=0", "provider_error", True, None),
        ("error_after=0 error_code=rate_limit_error", "provider_rate_limited", True, None),
        ("error_after=0 error_code=overloaded_error", "provider_unavailable", True, None),
    ],
)
async def test_a_call_that_fails_before_its_first_token_says_whether_to_retry(
    client: NewProvider, knobs: str, code: str, *, retryable: bool, retry_after: int | None
) -> None:
    failed = await failure_of(client(), asked(f"Hi [[fake {knobs}]]"))
    assert (failed.failure.code, failed.retryable) == (code, retryable)
    default = type(failed.failure)().retry_after
    assert failed.failure.retry_after == (default if retry_after is None else retry_after)


@pytest.mark.parametrize("knobs", ["cut_after=2", "cut_after=2 cut=close", "garbage_after=2", "error_after=2"])
async def test_an_answer_that_breaks_is_a_failure_after_its_text(client: NewProvider, knobs: str) -> None:
    answer = ParsedAnswer(NO_PARSER)
    with pytest.raises(ProviderFailure):
        await read(client(), asked(f"Hi [[fake tokens=4 {knobs}]]"), answer)
    assert answer.text.startswith("t1 t2")


async def test_a_silent_provider_is_a_timeout(client: NewProvider) -> None:
    failed = await failure_of(client(0.1), asked("Hi [[fake hang]]"))
    assert (failed.failure.code, failed.retryable) == ("provider_timeout", False)
    with pytest.raises(ProviderFailure) as silent:
        await read(client(0.1), asked("Hi [[fake stall_after=1]]"))
    assert silent.value.code == "provider_timeout"


async def test_usage_that_is_not_reported_is_left_to_be_estimated(client: NewProvider) -> None:
    answer = await read(client(), asked("Hi [[fake tokens=1 usage=false]]"))
    assert answer.usage is None or answer.usage.estimated


async def test_an_answer_needs_no_last_event(client: NewProvider) -> None:
    assert (await read(client(), asked("Hi [[fake tokens=2 done=false]]"))).text == "t1 t2"


async def test_bytes_may_arrive_one_by_one(client: NewProvider) -> None:
    answer = await read(client(), asked("Hi [[fake byte_ms=0 text='gr\u00fc\u00dfe \u4f60\u597d']]"))
    assert answer.text == "gr\u00fc\u00dfe \u4f60\u597d"


async def test_closing_the_answer_ends_the_call(client: NewProvider, provider: FakeProvider) -> None:
    mark = str(new_id())
    answer = client().stream("fake", asked(f"{mark} [[fake endless rate=100]]"))
    await anext(answer)
    await answer.aclose()
    async with asyncio.timeout(10):
        assert (await provider.ended_call(mark))["ended"] == "client_disconnected"
