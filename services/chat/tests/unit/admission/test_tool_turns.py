"""Function tools and their results on Parley's own routes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat_testing.api import open_api
from chat_testing.generator import answer_of
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CHOICE = {"type": "function", "function": {"name": "weather"}}
CALLS = [
    *(
        AnswerChunk(
            LogEntry(
                "",
                ({"index": n, "id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": "{}"}},),
            )
        )
        for n in range(2)
    ),
    AnswerChunk(finish_reason="tool_calls"),
]
RESULTS = [{"tool_call_id": f"c{n}", "content": f"Rain {n}"} for n in range(2)]


@pytest.fixture
def bench() -> ServiceBench:
    return ServiceBench()


@pytest.fixture
async def http(bench: ServiceBench) -> AsyncIterator[httpx2.AsyncClient]:
    issuer = TestIssuer()
    async with open_api(bench, issuer) as found:
        found.headers["Authorization"] = f"Bearer {issuer.token(new_id())}"
        yield found


async def post(http: httpx2.AsyncClient, status: int = 200, **body: Any) -> Any:
    response = await http.post("/api/v1/chat", json=body)
    assert response.status_code == status, response.text
    return response.json()


async def called(bench: ServiceBench, http: httpx2.AsyncClient) -> Any:
    bench.engine.generator.chunks = CALLS
    return await post(http, message="Weather?", tools=[TOOL], tool_choice="auto", parallel_tool_calls=True)


async def test_a_model_calls_tools_and_goes_on_with_their_results(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    first = await called(bench, http)
    assert [call["id"] for call in first["tool_calls"]] == ["c0", "c1"]
    assert first["finish_reason"] == "tool_calls"
    assert bench.engine.generator.prompts[0].options == {
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    bench.engine.generator.chunks = answer_of("Wet.")
    second = await post(http, conversation_id=first["conversation_id"], tool_results=RESULTS[::-1], tools=[TOOL])
    assert (second["message"], second["user_message_id"]) == ("Wet.", first["user_message_id"])
    sent = bench.engine.generator.prompts[1].messages
    assert [(m["role"], m.get("tool_call_id")) for m in sent] == [
        *(("user", None), ("assistant", None)),
        *(("tool", "c0"), ("tool", "c1")),
    ]
    third = await post(http, conversation_id=first["conversation_id"], regenerate=second["message_id"])
    assert third["user_message_id"] == first["user_message_id"]
    assert bench.engine.generator.prompts[2].messages == sent


@pytest.mark.parametrize("results", [RESULTS[:1], [*RESULTS, {"tool_call_id": "c9", "content": ""}]])
async def test_results_are_those_of_all_calls_of_the_answer_before(
    bench: ServiceBench, http: httpx2.AsyncClient, results: list[dict[str, str]]
) -> None:
    first = await called(bench, http)
    found = await post(http, 400, conversation_id=first["conversation_id"], tool_results=results)
    assert (found["code"], found["errors"][0]["pointer"]) == ("invalid_request", "/tool_results")
    assert len(bench.engine.generator.prompts) == 1


async def test_results_wait_for_a_history_that_must_tell_their_calls(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    first = await called(bench, http)
    bench.history.unavailable = True
    body = {"conversation_id": first["conversation_id"], "parent_id": str(new_id()), "tool_results": RESULTS}
    assert (await post(http, 503, **body))["code"] == "dependency_unavailable"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"message": "x", "tool_results": RESULTS}, "exactly_one"),
        ({"tool_results": RESULTS}, "required"),
        ({"tool_results": []}, "too_short"),
        ({"tool_results": [RESULTS[0]] * 2, "conversation_id": str(new_id())}, "duplicate"),
        ({"message": "x", "tool_choice": "required"}, "required"),
        ({"message": "x", "tools": [TOOL], "tool_choice": "always"}, "invalid_choice"),
        ({"message": "x", "tools": [TOOL], "tool_choice": {"type": "function"}}, "invalid_choice"),
        ({"message": "x", "tools": [TOOL], "tool_choice": CHOICE | {"function": {"name": "f"}}}, "unknown_tool"),
        ({"message": "x", "tools": [TOOL], "tool_choice": CHOICE}, "unsupported"),
        ({"message": "x", "tools": [{"type": "web_search"}]}, "literal_error"),
    ],
)
async def test_a_wrong_use_of_tools_is_refused(http: httpx2.AsyncClient, body: dict[str, Any], code: str) -> None:
    found = await post(http, 422, **body)
    assert found["errors"][0]["code"] == code
