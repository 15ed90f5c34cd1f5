"""Input items of ``/v1/responses`` that refer to items of earlier responses."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from chat.api.openai_responses.item_references import MAX_REFERENCED_RESPONSES
from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.protocols.openai_responses.ids import item_id
from chat.service import MAX_SNAPSHOTS_LENGTH
from chat_testing.api import open_api
from chat_testing.generator import answer_of
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLED = [
    AnswerChunk(LogEntry(reasoning="Hm")),
    AnswerChunk(LogEntry("", (CALL,))),
    AnswerChunk(finish_reason="tool_calls"),
]
ASKED = {"role": "user", "content": "Weather?"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "Rain"}
ISSUER = TestIssuer()


@pytest.fixture
def bench() -> ServiceBench:
    return ServiceBench()


@pytest.fixture
async def http(bench: ServiceBench) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        found.headers["Authorization"] = f"Bearer {ISSUER.token(new_id())}"
        yield found


async def create(http: httpx2.AsyncClient, items: list[dict[str, Any]], status: int = 200, **members: Any) -> Any:
    response = await http.post("/v1/responses", json={"model": "default", "input": items, **members})
    assert response.status_code == status, response.text
    return response.json()


def references(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "item_reference", "id": item["id"]} for item in items]


async def test_referenced_items_are_read_as_if_they_were_sent(bench: ServiceBench, http: httpx2.AsyncClient) -> None:
    bench.engine.generator.chunks = CALLED
    first = await create(http, [ASKED])
    bench.engine.generator.chunks = answer_of("Wet.")
    second = await create(http, [ASKED, *references(*first["output"]), RESULT])
    third = await create(http, [ASKED, *references(*second["output"]), {"role": "user", "content": "Why?"}])
    sent = [[(m["role"], m["content"]) for m in prompt.messages] for prompt in bench.engine.generator.prompts]
    assert sent[1] == [("user", "Weather?"), ("assistant", None), ("tool", "Rain")]
    assert bench.engine.generator.prompts[1].messages[1]["tool_calls"][0]["id"] == "c1"
    assert sent[2] == [("user", "Weather?"), ("assistant", "Wet."), ("user", "Why?")]
    listed = (await http.get(f"/v1/responses/{third['id']}/input_items?order=asc")).json()["data"]
    assert [item["type"] for item in listed] == ["message"] * 3
    again = await create(http, references(listed[0]))
    assert again["status"] == "completed"


async def test_a_reference_to_what_is_not_there_is_not_found(bench: ServiceBench, http: httpx2.AsyncClient) -> None:
    bench.engine.generator.chunks = answer_of("Hi")
    made, unstored = await create(http, [ASKED]), await create(http, [ASKED], store=False)
    (item,) = references(*made["output"])
    http.headers["Authorization"] = f"Bearer {ISSUER.token(new_id())}"
    others = ({"type": "item_reference"}, {"type": "item_reference", "id": f"{item['id']}_7"})
    for reference in (item, *references(*unstored["output"]), *others):
        refused = await create(http, [ASKED, reference], 404)
        assert refused["error"]["param"] == "input.1.id"


async def test_an_item_is_referenced_once(bench: ServiceBench, http: httpx2.AsyncClient) -> None:
    bench.engine.generator.chunks = answer_of("Hi")
    made = await create(http, [ASKED])
    refused = await create(http, [ASKED, *references(*made["output"] * 2)], 400)
    assert refused["error"]["param"] == "input.2.id"


async def test_responses_that_are_too_long_together_are_not_copied(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    bench.engine.generator.chunks = answer_of("Hi")
    made = [await create(http, [ASKED]) for _ in range(2)]
    stored = bench.engine.turns.turns
    stored |= {key: replace(turn, content="x" * MAX_SNAPSHOTS_LENGTH) for key, turn in stored.items()}
    both = references(*made[0]["output"], *made[1]["output"])
    assert (await create(http, [both[0], ASKED]))["status"] == "completed"
    refused = await create(http, [*both, ASKED], 400)
    assert refused["error"]["param"] == "input"


async def test_items_of_too_many_responses_are_refused_before_any_is_read(http: httpx2.AsyncClient) -> None:
    items = [{"id": item_id("msg", new_id())} for _ in range(MAX_REFERENCED_RESPONSES + 1)]
    refused = await create(http, [ASKED, *references(*items)], 400)
    assert (refused["error"]["param"], refused["error"]["code"]) == ("input", "invalid_request")


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x" * 600_000}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "x" * 600_000},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [{"a": "x" * 600_000}]}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a", "logprobs": [{"a": "x" * 600_000}]}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a", "refusal": "x" * 600_000}]},
    ],
)
async def test_references_do_not_store_more_of_what_no_model_reads_than_a_request_can_have(
    bench: ServiceBench, http: httpx2.AsyncClient, item: dict[str, Any]
) -> None:
    bench.engine.generator.chunks = answer_of("Wet.")
    stored = list[dict[str, Any]]()
    for _ in range(2):
        made = await create(http, [item, ASKED])
        stored += (await http.get(f"/v1/responses/{made['id']}/input_items?order=asc")).json()["data"][:1]
    await create(http, [*references(stored[0]), ASKED])
    refused = await create(http, [*references(*stored), ASKED], 400)
    assert (refused["error"]["param"], refused["error"]["code"]) == ("input", "invalid_request")
    await create(http, [*references(*stored), ASKED], store=False)
