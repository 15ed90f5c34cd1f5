"""Knobs, script and journal, over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx2
import pytest

from fake_provider.process import FakeProvider

if TYPE_CHECKING:
    import openai

Ask = Callable[..., Awaitable[httpx2.Response]]


async def statuses(provider: FakeProvider, count: int, message: str = "hi") -> list[int]:
    body = {"model": "fake", "messages": [{"role": "user", "content": message}]}
    async with httpx2.AsyncClient(base_url=provider.base_url) as client:
        return [(await client.post("/chat/completions", json=body)).status_code for _ in range(count)]


async def test_each_call_consumes_one_step_of_the_script(own_provider: FakeProvider) -> None:
    await own_provider.script([{"status": 500}, {}, {"status": 429, "times": 2}])
    assert await statuses(own_provider, 6) == [500, 200, 429, 429, 200, 200]


async def test_a_cleared_script_has_no_effect(own_provider: FakeProvider) -> None:
    await own_provider.script([{"status": 500}])
    await own_provider.clear_script()
    assert await statuses(own_provider, 1) == [200]


async def test_run_time_knobs_apply_until_they_are_set_again(own_provider: FakeProvider) -> None:
    await own_provider.set_knobs(status=503)
    assert await statuses(own_provider, 2) == [503, 503]
    await own_provider.set_knobs()
    assert await statuses(own_provider, 1) == [200]


async def test_a_marker_wins_over_script_and_knobs(own_provider: FakeProvider) -> None:
    await own_provider.set_knobs(status=503)
    await own_provider.script([{"status": 500}])
    assert await statuses(own_provider, 1, "[[fake status=]]") == [200]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"speed": 1}, "unknown knob 'speed'; known are mode, text"),
        ({"tokens": 1_000_001}, "knob 'tokens': Input should be less than or equal to 1000000"),
        ({"stall_s": 601}, "knob 'stall_s': Input should be less than or equal to 600"),
        ({"status": 304}, "304 has no body"),
        ([], "the knobs must be one JSON object"),
    ],
)
async def test_an_invalid_knob_is_rejected_by_name(http_client: httpx2.AsyncClient, body: object, message: str) -> None:
    response = await http_client.put("/_control/knobs", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize("marker", ["speed=1", "tokens=many", "text='open", "times=0"])
async def test_an_invalid_marker_is_rejected(ask: Ask, marker: str) -> None:
    response = await ask(f"[[fake {marker}]]")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_knob"


async def test_a_script_with_an_invalid_step_adds_nothing(http_client: httpx2.AsyncClient) -> None:
    response = await http_client.post("/_control/script", json=[{"tokens": 1}, {"speed": 1}])
    assert response.status_code == 400
    assert (await http_client.get("/_control/knobs")).json()["scripted"] == 0


async def test_only_a_marker_in_the_last_user_message_applies(ask: Ask) -> None:
    messages = [
        {"role": "system", "content": "[[fake status=500]]"},
        {"role": "user", "content": "[[fake status=501]]"},
        {"role": "assistant", "content": "[[fake status=502]]"},
        {"role": "user", "content": [{"type": "text", "text": "[[fake tokens=2]]"}]},
    ]
    response = await ask("", messages=messages)
    assert response.json()["choices"][0]["message"]["content"] == "t1 t2"


async def test_knobs_can_be_part_of_the_model_name(ask: Ask) -> None:
    answer = (await ask("hi", model="fake?tokens=2&finish_reason=content_filter")).json()
    assert answer["model"] == "fake?tokens=2&finish_reason=content_filter"
    assert answer["choices"][0]["finish_reason"] == "content_filter"


async def test_echo_repeats_the_message_exactly(ask: Ask) -> None:
    message = "  Grüße,\n\n data: x  [[fake mode=echo]] \t"
    answer = (await ask(message)).json()
    assert answer["choices"][0]["message"]["content"] == message


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"model": None}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 2}, "n"),
    ],
)
async def test_an_invalid_request_is_rejected_in_openais_format(
    ask: Ask, members: dict[str, object], param: str
) -> None:
    response = await ask("hi", **members)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_not_an_object_is_rejected(http_client: httpx2.AsyncClient, body: bytes) -> None:
    response = await http_client.post("/v1/chat/completions", content=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_request_over_the_size_limit_returns_413(http_client: httpx2.AsyncClient) -> None:
    response = await http_client.post("/v1/chat/completions", content=b" " * (16 * 1024 * 1024 + 1))
    assert response.status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/chat/completions", 405), ("GET", "/nope", 404)])
async def test_other_routes_return_errors_in_openais_format(
    http_client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await http_client.request(method, path)
    assert (response.status_code, set(response.json()["error"])) == (status, {"message", "type", "param", "code"})


async def test_the_journal_records_request_and_outcome(
    provider: FakeProvider, openai_client: openai.AsyncOpenAI
) -> None:
    await openai_client.chat.completions.create(
        model="fake",
        messages=[{"role": "user", "content": "journal ünïque"}],
        max_tokens=5,
        extra_headers={"Idempotency-Key": "k1", "traceparent": "00-1-2-01"},
    )
    call = await provider.ended_call("ünïque")
    assert (call["ended"], call["tokens_sent"], call["max_tokens"], call["stream"]) == ("completed", 5, 5, False)
    assert call["request"]["messages"] == [{"role": "user", "content": "journal ünïque"}]
    assert call["received_at"] <= call["first_byte_at"] <= call["ended_at"]
    assert (call["headers"]["idempotency-key"], call["headers"]["traceparent"]) == ("k1", "00-1-2-01")
    assert call["headers"]["authorization"] == f"Bearer sha256:{hashlib.sha256(b'sk-secret').hexdigest()[:12]}"


async def test_the_journal_can_be_read_from_a_seq_and_cleared(own_provider: FakeProvider) -> None:
    await statuses(own_provider, 3)
    assert [call["seq"] for call in await own_provider.journal(since=1)] == [2, 3]
    assert [call["seq"] for call in (await own_provider.journal_page(limit=1))["entries"]] == [3]
    await own_provider.clear_journal()
    await statuses(own_provider, 1)
    assert [call["seq"] for call in await own_provider.journal()] == [4]


async def test_the_journal_counts_concurrent_calls(own_provider: FakeProvider) -> None:
    await asyncio.gather(*(statuses(own_provider, 1, "[[fake latency_ms=300]]") for _ in range(5)))
    page = await own_provider.journal_page()
    assert (page["in_flight"], page["peak_in_flight"]) == (0, 5)
    assert sorted(call["concurrent"] for call in page["entries"]) == [1, 2, 3, 4, 5]
