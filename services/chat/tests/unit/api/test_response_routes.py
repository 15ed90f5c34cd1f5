"""Routes of responses and conversations in OpenAI's format, on in-memory stores."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from chat.errors import ProviderTimeout
from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat_testing.api import open_api
from chat_testing.generator import answer_of
from chat_testing.published_schemas import check_body, check_event
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ASKED = {"role": "user", "content": "Weather?"}
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


class ResponsesUser:
    """A user of the API."""

    def __init__(self, http: httpx2.AsyncClient, token: str) -> None:
        self._http, self._headers = http, {"Authorization": f"Bearer {token}"}

    async def send(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        response = await self._http.request(method, f"/v1/{path}", headers=self._headers, **options)
        assert response.status_code == status, response.text
        body = orjson.loads(response.content)
        check_body(body)
        return body

    async def create(self, status: int = 200, **members: Any) -> Any:
        return await self.send("POST", "responses", status, json={"model": "default", "input": "Hi", **members})

    async def events(self, method: str, path: str, **options: Any) -> list[Any]:
        response = await self._http.request(method, f"/v1/{path}", headers=self._headers, **options)
        assert response.status_code == 200, response.text
        blocks = [block for block in response.text.split("\n\n") if "data: " in block]
        events = [orjson.loads(block.partition("data: ")[2]) for block in blocks]
        for event in events:
            check_event(event)
        return events


@pytest.fixture
async def http(bench: ServiceBench) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        yield found


ISSUER = TestIssuer()


@pytest.fixture
def client(http: httpx2.AsyncClient) -> ResponsesUser:
    return ResponsesUser(http, ISSUER.token(new_id()))


def calls(*names: str) -> list[AnswerChunk]:
    deltas = [
        {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for n, name in enumerate(names)
    ]
    entries = [AnswerChunk(LogEntry("", (delta,))) for delta in deltas]
    return [*entries, AnswerChunk(finish_reason="tool_calls")]


async def test_a_response_is_retrieved_as_it_was_created(client: ResponsesUser) -> None:
    made = await client.create(instructions="Be short.", metadata={"a": "b"}, temperature=0.5, truncation="auto")
    assert (made["status"], made["output"][0]["content"][0]["text"]) == ("completed", "Hello")
    assert (made["instructions"], made["temperature"], made["truncation"]) == ("Be short.", 0.5, "auto")
    assert await client.send("GET", f"responses/{made['id']}") == made


async def test_a_stream_and_its_rest_are_those_of_the_retrieved_response(client: ResponsesUser) -> None:
    events = await client.events("POST", "responses", json={"model": "default", "input": "Hi", "stream": True})
    whole = events[-1]["response"]
    assert await client.send("GET", f"responses/{whole['id']}") == whole
    rest = await client.events("GET", f"responses/{whole['id']}?stream=true&starting_after=3")
    assert rest == events[4:]


async def test_instructions_hold_for_one_response_and_input_items_for_all(
    bench: ServiceBench, client: ResponsesUser
) -> None:
    given = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "One"}]
    first = await client.create(input=given, instructions="Only now.")
    second = await client.create(input="Two", previous_response_id=first["id"])
    sent = [[m["content"] for m in prompt.messages] for prompt in bench.engine.generator.prompts]
    assert sent == [["Only now.", "Be kind.", "One"], ["Be kind.", "One", "Hello", "Two"]]
    assert second["conversation"] == first["conversation"]
    items = await client.send("GET", f"responses/{first['id']}/input_items?order=asc&limit=1")
    assert (items["data"][0]["role"], items["has_more"]) == ("developer", True)
    rest = await client.send("GET", f"responses/{first['id']}/input_items?order=asc&after={items['last_id']}")
    assert (rest["data"][0]["content"], rest["has_more"]) == ([{"type": "input_text", "text": "One"}], False)


async def test_an_unstored_response_sees_the_one_before_and_is_not_retrieved(
    bench: ServiceBench, client: ResponsesUser
) -> None:
    first = await client.create()
    made = await client.create(input="Two", previous_response_id=first["id"], store=False)
    assert [m["content"] for m in bench.engine.generator.prompts[-1].messages] == ["Hi", "Hello", "Two"]
    assert (made["store"], made["conversation"]) == (False, None)
    await client.send("GET", f"responses/{made['id']}", 404)
    await client.create(400, previous_response_id=made["id"])


async def test_the_input_items_of_an_unstored_response_are_not_kept(bench: ServiceBench, client: ResponsesUser) -> None:
    made = await client.create(input=[{"role": "developer", "content": "Be kind."}, ASKED], store=False)
    (turn,) = bench.engine.turns.turns.values()
    assert (made["status"], turn.response) == ("completed", {"store": False})


async def test_outputs_continue_the_calls_of_a_response(bench: ServiceBench, client: ResponsesUser) -> None:
    bench.engine.generator.chunks = calls("weather", "time")
    asked = await client.create(tools=[TOOL, {**TOOL, "name": "time"}])
    bench.engine.generator.chunks = answer_of("Sun")
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "Sun"} for item in asked["output"]
    ]
    refused = await client.create(400, input=outputs[:1], previous_response_id=asked["id"])
    assert refused["error"]["param"] == "input"
    other = [{**outputs[0], "call_id": "other"}]
    refused = await client.create(400, input=other, conversation=asked["conversation"])
    assert refused["error"]["param"] == "input"
    for given in (outputs[:1], [ASKED, *outputs[:1]]):
        refused = await client.create(400, input=given, conversation=asked["conversation"])
        assert "needs a result" in refused["error"]["message"]
    empty = await client.send("POST", "conversations", json={})
    refused = await client.create(400, input=outputs, conversation=empty["id"])
    assert "has no tool call" in refused["error"]["message"]
    answer = await client.create(input=outputs, previous_response_id=asked["id"])
    sent = bench.engine.generator.prompts[-1].messages
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    turn = next(turn for turn in bench.engine.turns.turns.values() if f"resp_{turn.id.hex}" == answer["id"])
    assert (turn.continues, turn.user_message, len(turn.tool_results)) == (True, "Hi", 2)
    items = await client.send("GET", f"conversations/{answer['conversation']['id']}/items?order=asc")
    assert [item["type"] for item in items["data"]] == [
        *("message", "function_call", "function_call"),
        *("function_call_output", "function_call_output", "message"),
    ]
    assert items["data"][1]["id"] == asked["output"][0]["id"]


async def test_calls_with_their_outputs_continue_a_conversation(bench: ServiceBench, client: ResponsesUser) -> None:
    first = await client.create()
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "Sun"}
    await client.create(input=[call, output], conversation=first["conversation"])
    roles = [message["role"] for message in bench.engine.generator.prompts[-1].messages]
    assert roles[-2:] == ["assistant", "tool"]


async def test_a_background_response_is_cancelled_and_deleted(bench: ServiceBench, client: ResponsesUser) -> None:
    bench.engine.generator.chunks, bench.engine.generator.endless = answer_of("Hel")[:1], True
    made = await client.create(background=True)
    assert (made["status"], made["background"]) == ("in_progress", True)
    refused = await client.create(400, previous_response_id=made["id"])
    assert refused["error"]["param"] == "previous_response_id"
    stopped = await client.send("POST", f"responses/{made['id']}/cancel")
    assert stopped["status"] == "cancelled"
    assert stopped["output"][0]["status"] == "incomplete"
    deleted = await client.send("DELETE", f"responses/{made['id']}")
    assert deleted == {"id": made["id"], "object": "response", "deleted": True}
    await client.send("DELETE", f"responses/{made['id']}", 404)


async def test_a_failure_is_an_error_of_the_request_and_of_the_stored_response(
    bench: ServiceBench, client: ResponsesUser
) -> None:
    bench.engine.generator.chunks, bench.engine.generator.failure = (), ProviderTimeout()
    await client.create(504)
    await client.create(504, stream=True)
    body = {"model": "default", "input": "Hi", "stream": True, "background": True}
    events = await client.events("POST", "responses", json=body)
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.failed"]
    found = await client.send("GET", f"responses/{events[0]['response']['id']}")
    assert (found["status"], found["error"]["code"]) == ("failed", "server_error")


async def test_what_does_not_fit_is_refused_unless_it_may_be_left_out(client: ResponsesUser) -> None:
    first = await client.create(input="x" * 20_000)
    second = await client.create(400, input="y" * 10_000, previous_response_id=first["id"])
    assert second["error"]["code"] == "context_length_exceeded"
    await client.create(input="y" * 10_000, previous_response_id=first["id"], truncation="auto")


async def test_an_idempotent_request_gets_the_same_response(http: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {ISSUER.token(new_id())}", "Idempotency-Key": "k"}
    body = {"model": "default", "input": "Hi"}
    both = [await http.post("/v1/responses", json=body, headers=headers) for _ in range(2)]
    assert both[0].json() == both[1].json()
    assert both[1].headers["Idempotency-Replayed"] == "true"


async def test_a_conversation_has_the_items_of_its_responses_in_pages(client: ResponsesUser) -> None:
    made = await client.send("POST", "conversations", json={"metadata": {"topic": "demo"}})
    assert (made["object"], made["metadata"]) == ("conversation", {"topic": "demo"})
    path = f"conversations/{made['id']}/items"
    assert (await client.send("GET", path))["data"] == []
    for text in ("One", "Two"):
        await client.create(input=text, conversation={"id": made["id"]})
    whole = await client.send("GET", f"{path}?order=asc")
    texts = [item["content"][0]["text"] for item in whole["data"]]
    assert texts == ["One", "Hello", "Two", "Hello"]
    found: list[Any] = []
    after = ""
    while len(found) < 4:
        page = await client.send("GET", f"{path}?limit=1{after}")
        assert page["has_more"] == (len(found) < 3)
        found += page["data"]
        after = f"&after={page['last_id']}"
    assert found == whole["data"][::-1]
    assert await client.send("GET", f"{path}/{found[0]['id']}") == found[0]
    await client.send("GET", f"{path}/msg_{new_id().hex}", 404)


@pytest.mark.parametrize("after", ["", "none", "msg_" + "0" * 32, "x" * 1000])
async def test_a_list_of_items_refuses_the_cursor_of_another_list(client: ResponsesUser, after: str) -> None:
    made = await client.create()
    for path in (f"conversations/{made['conversation']['id']}/items", f"responses/{made['id']}/input_items"):
        refused = await client.send("GET", f"{path}?after={after}", 400)
        assert refused["error"]["code"] == "invalid_cursor", path


async def test_the_ids_of_others_do_not_exist(http: httpx2.AsyncClient, client: ResponsesUser) -> None:
    made = await client.create()
    other = ResponsesUser(http, ISSUER.token(new_id()))
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
        await other.send(method, f"responses/{made['id']}{path}", 404)
    await other.create(400, previous_response_id=made["id"])
    await other.create(404, conversation=made["conversation"])
    await other.send("GET", f"conversations/{made['conversation']['id']}/items", 404)
