"""Provider failures: status, problem, and no leaked provider text."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration

BEFORE_THE_FIRST_TOKEN = [
    ("status=400", 502, "provider_error", 1),
    ("status=401 leak_key", 502, "provider_error", 1),
    ("status=429 retry_after=30", 429, "provider_rate_limited", 1),
    ("status=500", 502, "provider_error", 3),
    ("status=503", 503, "provider_unavailable", 3),
    ("status=302 location=http://127.0.0.1:1/", 502, "provider_error", 1),
    ("status=400 error_code=context_length_exceeded", 400, "context_length_exceeded", 1),
    ("status=400 error_code=content_filter", 400, "content_filter", 1),
    ("cut_after=-1", 503, "provider_unavailable", 3),
    ("cut_after=0", 502, "provider_error", 3),
    ("garbage_after=0", 502, "provider_error", 3),
    ("error_after=0", 502, "provider_error", 3),
    ("hang", 504, "provider_timeout", 1),
]


@pytest.fixture(scope="module")
async def impatient(open_replica: OpenReplica, new_database: NewDatabase) -> AsyncIterator[ChatReplica]:
    async with open_replica(await new_database(), openai_timeout=0.6, turn_timeout=4) as found:
        yield found


@pytest.mark.parametrize(("knobs", "status", "code", "calls"), BEFORE_THE_FIRST_TOKEN)
async def test_a_turn_without_output_fails_cleanly(
    impatient: ChatReplica, provider: FakeProvider, knobs: str, status: int, code: str, calls: int
) -> None:
    user, mark = impatient.user(), str(new_id())
    response = await user.chat(f"{mark} [[fake {knobs} error_message=canary-raw]]")
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert "canary" not in response.text
    assert ("x-should-retry" in response.headers) == (code == "provider_error" and calls == 1)
    if code in {"provider_rate_limited", "provider_unavailable"}:
        assert int(response.headers["retry-after"]) >= 1
    turn = await user.turn(body["turn_id"])
    assert (turn["status"], turn["finish_reason"], turn["error"]["code"]) == ("failed", "error", code)
    assert turn["tokens_used"] == 0
    assert len(await provider.journal(contains=mark)) == calls


@pytest.mark.parametrize(
    ("knobs", "reason", "code"),
    [
        ("cut_after=3", "error", "provider_error"),
        ("cut_after=3 cut=close", "error", "provider_error"),
        ("garbage_after=3", "error", "provider_error"),
        ("garbage_after=3 garbage=long", "error", "provider_error"),
        ("error_after=3", "error", "provider_error"),
        ("stall_after=3", "error", "provider_timeout"),
        ("endless rate=20", "deadline", None),
    ],
)
async def test_a_turn_with_output_is_kept_and_billed(
    impatient: ChatReplica, provider: FakeProvider, knobs: str, reason: str, code: str | None
) -> None:
    user, mark = impatient.user(), str(new_id())
    response = await user.chat(f"{mark} [[fake tokens=50 {knobs}]]")
    body = response.json()
    assert response.status_code == 200, body
    assert (body["status"], body["finish_reason"]) == ("incomplete", reason)
    assert (body["error"] or {"code": None})["code"] == code
    assert body["message"].startswith("t1 t2 t3")
    # After a broken event the rest of the answer is read, with its usage.
    assert body["usage"]["estimated"] is ("garbage" not in knobs)
    assert body["tokens_used"] > 0
    assert len(await provider.journal(contains=mark)) == 1


async def test_invalid_utf8_costs_one_character(impatient: ChatReplica) -> None:
    body = (await impatient.user().chat("[[fake tokens=5 garbage_after=3 garbage=utf8]]")).json()
    assert (body["status"], body["message"]) == ("completed", "t1 t2 t3\ufffd t4 t5")


async def test_a_retry_before_the_first_token_is_invisible_to_the_client(
    impatient: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = impatient.user(), str(new_id())
    body = (await user.chat(f"{mark} [[fake status=503 times=2]]")).json()
    assert (body["status"], body["message"][:8]) == ("completed", "t1 t2 t3")
    assert len(await provider.journal(contains=mark)) == 3


async def test_an_answer_without_a_done_marker_is_complete(impatient: ChatReplica) -> None:
    body = (await impatient.user().chat("[[fake tokens=2 done=false]]")).json()
    assert (body["status"], body["message"]) == ("completed", "t1 t2")


async def test_usage_that_is_not_reported_is_estimated(impatient: ChatReplica) -> None:
    body = (await impatient.user().chat("[[fake tokens=8 usage=false]]")).json()
    assert body["usage"]["estimated"] is True
    assert body["usage"]["completion_tokens"] > 0


async def test_bytes_may_arrive_one_by_one(impatient: ChatReplica) -> None:
    body = (await impatient.user().chat("[[fake byte_ms=1 text='gr\u00fc\u00dfe \u4f60\u597d']]")).json()
    assert body["message"] == "gr\u00fc\u00dfe \u4f60\u597d"


async def test_a_cancelled_turn_ends_the_call_and_keeps_its_text(
    impatient: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = impatient.user(), str(new_id())
    async with user.stream("/api/v1/chat/stream", json={"message": f"{mark} [[fake tokens=500 rate=50]]"}) as (
        response,
        found,
    ):
        turn_id = response.headers["x-turn-id"]
        seen = [await anext(found) for _ in range(5)]
        await user.request("POST", f"/api/v1/chat/turns/{turn_id}/cancel")
        seen += [event async for event in found]
    assert (seen[-1].data["status"], seen[-1].data["finish_reason"]) == ("cancelled", "cancelled")
    call = await eventually(lambda: provider.ended_call(mark))
    assert call["ended"] == "client_disconnected"


async def test_without_a_provider_models_are_empty_and_turns_unavailable(
    open_replica: OpenReplica, new_database: NewDatabase
) -> None:
    options: dict[str, Any] = {"openai_base_url": None, "openai_api_key": None}
    async with open_replica(await new_database(), **options) as replica:
        user = replica.user()
        listed = (await user.request("GET", "/api/v1/models")).json()
        assert (listed["data"], listed["default"]) == ([], None)
        response = await user.chat("Hi")
        assert (response.status_code, response.json()["code"]) == (503, "provider_unavailable")
