"""``POST /v1/responses/compact``, and its item as an input."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from chat.admission.plans import ChatPlan
from chat.errors import ProviderTimeout
from chat.protocols.openai_responses.compaction import INSTRUCTION, SUMMARY
from chat.running.outcome import StopReason
from chat_testing.api import open_api, shared_app
from chat_testing.asgi_socket import open_socket
from chat_testing.generator import answer_of
from chat_testing.published_schemas import check_body, check_socket_frame
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_events.parts import Usage
from parley_testing import eventually
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
PATH = "/v1/responses/compact"
ASKED = {"role": "user", "content": "The launch is on Tuesday."}
ANSWERED = {"role": "assistant", "content": "Noted."}
USAGE = Usage(prompt_tokens=40, completion_tokens=9, total_tokens=49)


@pytest.fixture
def bench() -> ServiceBench:
    found = ServiceBench()
    found.engine.generator.chunks = answer_of("Launch:", " Tuesday.", usage=USAGE)
    return found


@pytest.fixture
def token() -> str:
    return ISSUER.token(new_id())


@pytest.fixture
async def http(bench: ServiceBench, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        found.headers["Authorization"] = f"Bearer {token}"
        yield found


async def post(http: httpx2.AsyncClient, path: str = PATH, status: int = 200, **members: Any) -> Any:
    response = await http.post(path, json={"model": "default", **members})
    assert response.status_code == status, response.text
    check_body(response.json())
    return response.json()


def sent(bench: ServiceBench) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in bench.engine.generator.prompts[-1].messages]


async def test_the_key_of_a_prompt_cache_is_short(http: httpx2.AsyncClient) -> None:
    body = {"model": "default", "input": [ASKED, ANSWERED], "prompt_cache_key": "x" * 513}
    refused = await http.post("/v1/responses/compact", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "prompt_cache_key")


async def test_a_compaction_is_a_summary_of_the_model_and_stands_for_the_input_later(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    made = await post(
        http, input=[ASKED, ANSWERED], instructions="Be exact.", prompt_cache_key="k", service_tier="auto"
    )
    assert (made["object"], made["usage"]["total_tokens"]) == ("response.compaction", 49)
    assert [item["type"] for item in made["output"]] == ["compaction"]
    asked, answered = ("user", ASKED["content"]), ("assistant", ANSWERED["content"])
    assert sent(bench) == [("system", "Be exact."), asked, answered, ("user", INSTRUCTION)]
    later = {"role": "user", "content": "When?"}
    response = await post(http, "/v1/responses", input=[*made["output"], later])
    summary = f"{SUMMARY}Launch: Tuesday."
    assert sent(bench) == [("assistant", summary), ("user", "When?")]
    (turn,) = [turn for turn in bench.engine.turns.turns.values() if turn.stored]
    assert turn.user_message == "When?"
    items = await http.get(f"/v1/responses/{response['id']}/input_items?order=asc")
    assert [item["content"][0]["text"] for item in items.json()["data"]] == [summary, "When?"]
    again = await post(http, input=[*made["output"], later])
    assert again["id"] != made["id"]
    assert sent(bench)[:2] == [("assistant", summary), ("user", "When?")]


async def test_a_compaction_follows_a_response_and_is_none_itself(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    first = await post(http, "/v1/responses", input="Hi")
    made = await post(http, previous_response_id=first["id"])
    assert sent(bench) == [("user", "Hi"), ("assistant", "Launch: Tuesday."), ("user", INSTRUCTION)]
    assert (await http.get(f"/v1/responses/{made['id']}")).status_code == 404
    assert (await http.get(f"/v1/conversations/{first['conversation']['id']}/items")).json()["data"][0]["content"][0][
        "text"
    ] == "Launch: Tuesday."
    await post(http, "/v1/responses", 400, input="Hi", previous_response_id=made["id"])


async def test_a_compaction_begins_a_new_chain_on_a_websocket_and_goes_on_there(
    bench: ServiceBench, http: httpx2.AsyncClient, token: str
) -> None:
    made = await post(http, input=[ASKED, ANSWERED])
    async with open_socket(shared_app(), "/v1/responses", token) as socket:

        async def response_of(**members: Any) -> Any:
            socket.send(type="response.create", model="default", store=False, **members)
            frame: Any = {"type": ""}
            while frame["type"] not in {"response.completed", "error"}:
                frame = await socket.next()
                check_socket_frame(frame)
            return frame["response"]

        first = await response_of(input=[*made["output"], {"role": "user", "content": "One"}])
        await response_of(input="Two", previous_response_id=first["id"])
    assert [content for _, content in sent(bench)] == [
        *(f"{SUMMARY}Launch: Tuesday.", "One"),
        *("Launch: Tuesday.", "Two"),
    ]


async def test_only_a_compaction_of_the_same_person_is_taken(bench: ServiceBench, http: httpx2.AsyncClient) -> None:
    (item,) = (await post(http, input=[ASKED]))["output"]
    stored = await post(http, "/v1/responses", input="Hi")
    bench.engine.generator.chunks = answer_of("Laun", finish_reason="length")
    unfinished = await http.post(PATH, json={"model": "default", "input": [ASKED]})
    assert (unfinished.status_code, unfinished.headers["x-should-retry"]) == (502, "false")
    assert "did not finish the summary" in unfinished.json()["error"]["message"]
    summary = list(bench.engine.turns.turns.values())[-1]
    before = len(bench.engine.turns.turns)
    for content in ("", "cmp_none", f"cmp_{new_id().hex}", f"cmp_{summary.id.hex}", stored["output"][0]["id"]):
        refused = await post(http, "/v1/responses", 400, input=[{**item, "encrypted_content": content}, ASKED])
        assert refused["error"]["param"] == "input.0.encrypted_content"
    refused = await post(http, "/v1/responses", 400, input=[item, ASKED, item])
    assert refused["error"]["param"] == "input.2.encrypted_content"
    http.headers["Authorization"] = f"Bearer {ISSUER.token(new_id())}"
    refused = await post(http, "/v1/responses", 400, input=[item, ASKED])
    assert refused["error"]["param"] == "input.0.encrypted_content"
    assert len(bench.engine.turns.turns) == before


@pytest.mark.parametrize(
    ("stop", "status", "code"), [("cancelled", 409, "turn_cancelled"), ("interrupted", 502, "upstream_error")]
)
async def test_a_compaction_that_was_stopped_says_so_and_is_repeated_only_if_nobody_cancelled_it(
    bench: ServiceBench, http: httpx2.AsyncClient, stop: StopReason, status: int, code: str
) -> None:
    bench.engine.generator.chunks = answer_of("Laun")[:1]
    bench.engine.generator.endless = True

    def has_begun(turn_id: UUID) -> bool:
        log = bench.engine.supervisor.log(turn_id)
        return log is not None and bool(log.entries)

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(http.post(PATH, json={"model": "default", "input": [ASKED]}))
        await eventually(lambda: any(map(has_begun, bench.engine.turns.turns)))
        (turn_id,) = bench.engine.turns.turns
        bench.engine.supervisor.stop(turn_id, stop)
    refused = waiting.result()
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert f"was {stop}" in refused.json()["error"]["message"]
    assert refused.headers.get("x-should-retry") == ("false" if stop == "cancelled" else None)
    assert refused.headers["x-turn-id"] == str(turn_id)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None, "input": "Hi"}, "model"),
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": " \n"}, "input"),
        ({"input": "Hi", "stream": True}, "stream"),
        ({"input": "Hi", "tools": [{"type": "function", "name": "f"}]}, "tools"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input.0"),
        ({"input": "Hi", "previous_response_id": "resp_none"}, "previous_response_id"),
    ],
)
async def test_a_compaction_of_what_is_not_there_is_refused(
    bench: ServiceBench, http: httpx2.AsyncClient, members: dict[str, Any], param: str
) -> None:
    refused = await post(http, status=400, **members)
    assert refused["error"]["param"] == param
    assert not bench.engine.turns.turns


async def test_parameters_that_ask_for_nothing_are_accepted(bench: ServiceBench, http: httpx2.AsyncClient) -> None:
    nothing: dict[str, Any] = {"stream": False, "store": False, "background": False, "service_tier": "default"}
    odd: dict[str, Any] = {
        "tools": {},
        "conversation": "",
        "metadata": [],
        "include": {},
        "text": "",
        "temperature": "",
    }
    await post(http, input="Hi", **nothing, **odd)
    assert sent(bench) == [("user", "Hi"), ("user", INSTRUCTION)]


async def test_a_compaction_has_the_failures_the_budget_and_the_idempotency_of_an_answer(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    http.headers["Idempotency-Key"] = "k"
    made = [await post(http, input=[ASKED]) for _ in range(2)]
    assert made[0] == made[1]
    assert len(bench.engine.generator.prompts) == 1
    del http.headers["Idempotency-Key"]
    bench.engine.generator.chunks, bench.engine.generator.failure = [], ProviderTimeout()
    await post(http, status=504, input=[ASKED])
    refused = await post(http, status=400, input="x" * 40_000)
    assert refused["error"]["code"] == "context_length_exceeded"


async def test_a_compaction_beyond_the_budget_is_refused(http: httpx2.AsyncClient) -> None:
    bench = ServiceBench(plan=ChatPlan(tokens_per_minute=None, tokens_per_day=10))
    async with open_api(bench, ISSUER) as poor:
        poor.headers["Authorization"] = http.headers["Authorization"]
        refused = await post(poor, status=429, input=[ASKED])
    assert refused["error"]["code"] == "quota_exceeded"
