"""The cases of Open Responses' compliance suite against the product. Every frame fits the published schemas.

The suite itself needs Bun and is in no registry, so its cases are written down here: 17 of them, and ``generate``. One
of them checks a fixture of the suite and nothing of the server.
"""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from chat_testing.checked_responses import Socket, connect, message, post, stream
from chat_testing.files import png
from chat_testing.published_schemas import check_body, check_event
from parley_testing.http.client import Account, open_account
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

NOT_FOUND = "previous_response_not_found"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
PICTURE = f"data:image/png;base64,{base64.b64encode(png()).decode()}"


@pytest.fixture(scope="module")
async def account(embedded: EmbeddedStack) -> Account:
    """One account for all cases, which fit the schemas also when an answer comes from the cache."""
    return await open_account(embedded.url)


@pytest.fixture
async def http(account: Account) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {account.key}"}
    async with httpx2.AsyncClient(base_url=f"{account.url}/v1", headers=headers, timeout=20) as found:
        yield found


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([message("user", "Say hello in exactly 3 words.")], id="basic"),
        pytest.param([message("system", "You are a pirate."), message("user", "Say hello.")], id="system prompt"),
        pytest.param(
            [
                message("user", "My name is Alice."),
                message("assistant", "Hello Alice!"),
                message("user", "What is my name?"),
            ],
            id="several turns",
        ),
        pytest.param(
            [
                message("assistant", "I should look.", phase="commentary"),
                message("assistant", "It is four.", phase="final_answer"),
                message("user", "Repeat only the number."),
            ],
            id="phases",
        ),
        pytest.param(
            [
                message(
                    "user",
                    [
                        {"type": "input_text", "text": "What do you see?"},
                        {"type": "input_image", "image_url": PICTURE},
                    ],
                )
            ],
            id="image",
        ),
    ],
)
async def test_an_input_is_answered(http: httpx2.AsyncClient, given: list[Any]) -> None:
    made = await post(http, input=given)
    assert (made["status"], made["output"][-1]["type"]) == ("completed", "message")


async def test_a_stream_ends_with_its_response(http: httpx2.AsyncClient) -> None:
    events = await stream(http, input=[message("user", "Count from 1 to 5.")])
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("members", "last"),
    [
        pytest.param({"input": "Hi [[fake tokens=9]]", "max_output_tokens": 3}, "response.incomplete", id="length"),
        pytest.param({"input": "Hi [[fake finish_reason=content_filter]]"}, "response.incomplete", id="filtered"),
        pytest.param({"input": "Hi [[fake cut_after=2]]"}, "response.failed", id="cut"),
        pytest.param({"input": "Hi", "reasoning": {"effort": "low"}}, "response.completed", id="reasoning"),
    ],
)
async def test_a_stream_has_one_of_the_ends_of_the_specification(
    http: httpx2.AsyncClient, members: dict[str, Any], last: str
) -> None:
    events = await stream(http, **members)
    assert events[-1]["type"] == last
    whole = events[-1]["response"]
    found = await http.get(f"/responses/{whole['id']}")
    check_body(found.json())
    assert found.json() == whole
    check_body((await http.get(f"/responses/{whole['id']}/input_items")).json())


async def test_a_background_response_is_cancelled_and_its_stream_goes_on_behind_any_event(
    http: httpx2.AsyncClient,
) -> None:
    made = await post(http, input="Hi [[fake endless rate=50]]", background=True)
    stopped = await http.post(f"/responses/{made['id']}/cancel")
    check_body(stopped.json())
    whole = (await http.get(f"/responses/{made['id']}", params={"stream": True})).text
    events = [json.loads(line[6:]) for line in whole.splitlines() if line.startswith("data: ")]
    for event in events:
        check_event(event)
    assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.incomplete", "cancelled")
    rest = await http.get(f"/responses/{made['id']}", params={"stream": True, "starting_after": 1})
    assert rest.text == whole[whole.index("event: ", whole.index('"sequence_number":1,')) :]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/responses", b"{}", 400),
        ("POST", "/responses", b"{", 400),
        ("POST", "/responses", b'{"model":"gpt-5","input":5}', 422),
        ("POST", "/responses", b'{"model":"none","input":"Hi"}', 404),
        ("POST", "/responses", b'{"model":"gpt-5","input":"Hi [[fake status=500]]","stream":true}', 502),
        ("PUT", "/responses", b"{}", 405),
        ("GET", "/responses/resp_none", b"", 404),
        ("POST", "/responses/input_tokens", b"{}", 404),
    ],
)
async def test_a_refusal_has_the_published_shape(
    http: httpx2.AsyncClient, method: str, path: str, content: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await http.request(method, path, content=content, headers=headers)
    assert (refused.status_code, refused.json().keys()) == (status, {"error"})
    check_body(refused.json())
    refused = await http.request(method, path, content=content, headers={**headers, "Authorization": "Bearer x"})
    assert refused.status_code in {401, 404, 405}
    check_body(refused.json())


async def test_a_tool_is_called_with_its_events_and_its_output_continues(http: httpx2.AsyncClient) -> None:
    asked: Any = {"input": [message("user", "The weather? [[fake tool_calls=1]]")], "tools": [WEATHER]}
    made = await post(http, **asked)
    (call,) = [item for item in made["output"] if item["type"] == "function_call"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "64 degrees"}
    assert (await post(http, previous_response_id=made["id"], input=[output]))["status"] == "completed"
    events = await stream(http, **asked)
    kinds = {event["type"] for event in events}
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= kinds
    of_call = [event["type"] for event in events if event.get("item", {}).get("type") == "function_call"]
    assert of_call == ["response.output_item.added", "response.output_item.done"]


async def test_an_input_is_compacted_and_goes_on_in_a_new_chain(http: httpx2.AsyncClient, account: Account) -> None:
    agreed = [message("user", "We launch on Tuesday."), message("assistant", "Understood.")]
    made = await post(http, "/responses/compact", prompt_cache_key="test", input=agreed)
    assert made["object"] == "response.compaction"
    assert "compaction" in {item["type"] for item in made["output"]}
    await post(http, "/responses/compact", 400, model=None, input=agreed)
    async with connect(account) as connection:
        given = [*made["output"], message("user", "Continue from here.")]
        await Socket(connection).response(store=False, input=given, tools=[])


async def test_responses_follow_each_other_on_one_websocket(account: Account) -> None:
    async with connect(account) as connection:
        socket = Socket(connection)
        await socket.response(input=[message("user", "Count from 1 to 3.")])
        first = await socket.response(store=False, input="The word is cobalt.")
        await socket.response(store=False, previous_response_id=first["id"], input="What is the word?")
        prepared = await socket.response(generate=False, input="The word is iron.")
        await socket.response(previous_response_id=prepared["id"], input="What is the word?")


async def test_an_unstored_response_is_not_found_after_a_reconnect_and_a_new_one_begins(account: Account) -> None:
    async with connect(account) as connection:
        first = await Socket(connection).response(store=False, input="The word is copper.")
    async with connect(account) as connection:
        socket = Socket(connection)
        assert await socket.refusal(store=False, previous_response_id=first["id"], input="Go on.") == NOT_FOUND
        missing = {"store": False, "previous_response_id": "resp_missing_1"}
        assert await socket.refusal(**missing, input="Go on.") == NOT_FOUND
        await socket.response(store=False, input=[message("user", "Begin anew.")])


async def test_a_failed_continuation_evicts_the_response_before_it(account: Account) -> None:
    async with connect(account) as connection:
        socket = Socket(connection)
        first = await socket.response(store=False, input="The word is ember.")
        behind = {"store": False, "previous_response_id": first["id"]}
        output = {"type": "function_call_output", "call_id": "call_missing", "output": "No such call."}
        assert await socket.refusal(**behind, input=[output]) == "invalid_request"
        assert await socket.refusal(**behind, input="Go on.") == NOT_FOUND
