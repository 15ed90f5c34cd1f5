"""Requests that are repeated with their idempotency key after what they refer to is gone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from chat.admission.plans import ChatPlan
from chat.model import IdempotencyKey, Turn
from chat_testing.api import open_api
from chat_testing.items_user import ISSUER, ItemsUser, open_items_user, said
from chat_testing.prompt_files import UI_PATH, PromptBench
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import make_request
from parley.ids import new_id

KEY = {"Idempotency-Key": "k"}
HI = [{"role": "user", "content": "Hi"}]
UI_HI = [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "default", "input": "Hi"},
    "/v1/responses/compact": {"model": "default", "input": "Hi"},
    "/v1/chat/completions": {"model": "default", "messages": HI},
    "/v1/messages": {"model": "default", "messages": HI, "max_tokens": 10},
    "/api/v1/chat": {"model": "default", "message": "Hi"},
    UI_PATH: {"model": "default", "id": str(new_id()), "messages": UI_HI},
}


@pytest.fixture
async def user(bench: ServiceBench) -> AsyncIterator[ItemsUser]:
    async with open_items_user(bench) as found:
        yield found


async def respond(user: ItemsUser, **members: Any) -> Any:
    body = {"model": "default", "input": "Hi", **members}
    response = await user.http.post("/v1/responses", headers={**user.headers, **KEY}, json=body)
    assert response.status_code == 200, response.text
    return response.json(), response.headers.get("Idempotency-Replayed")


async def test_a_response_is_repeated_after_the_one_that_it_follows_was_deleted(user: ItemsUser) -> None:
    first = await user.send("POST", "responses", json={"model": "default", "input": "Hi"})
    made, _ = await respond(user, previous_response_id=first["id"])
    await user.send("DELETE", f"responses/{first['id']}")
    assert await respond(user, previous_response_id=first["id"]) == (made, "true")
    await user.send("POST", "responses", 400, json={"model": "default", "previous_response_id": first["id"]})


async def test_a_response_is_repeated_after_an_item_of_its_input_was_deleted(user: ItemsUser) -> None:
    conversation = await user.conversation()
    await user.ask(conversation, "Hello!")
    item = (await user.items(conversation))[0]
    referring = {"input": [{"type": "item_reference", "id": item["id"]}, said("user", "And?")]}
    made, _ = await respond(user, **referring)
    await user.delete(conversation, item["id"])
    assert await respond(user, **referring) == (made, "true")


async def test_a_chat_is_regenerated_once_although_its_file_was_deleted() -> None:
    bench = PromptBench()
    path = f"/api/v1/files/{await bench.uploaded(b'The plan.')}"
    file = {"type": "file", "url": path}
    body = {"id": str(new_id()), "model": "sees", "messages": [{"role": "user", "parts": [file]}]}
    await bench.send("POST", UI_PATH, json=body)
    again: dict[str, Any] = {"json": {**body, "trigger": "regenerate-message"}, "headers": KEY}
    made = await bench.send("POST", UI_PATH, **again)
    assert (await bench.send("DELETE", path)).status_code == 204
    repeated = await bench.send("POST", UI_PATH, **again)
    assert repeated.status_code == 200, repeated.text
    assert repeated.headers["x-turn-id"] == made.headers["x-turn-id"]
    await bench.http.aclose()


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_request_is_repeated_although_the_plan_no_longer_has_its_model(bench: ServiceBench, path: str) -> None:
    headers = {"Authorization": f"Bearer {ISSUER.token(new_id())}"}
    async with open_api(bench, ISSUER) as http:
        made = await http.post(path, headers={**headers, **KEY}, json=REQUESTS[path])
    bench.plan = ChatPlan(models=["another"])
    async with open_api(bench, ISSUER) as http:
        repeated = await http.post(path, headers={**headers, **KEY}, json=REQUESTS[path])
    assert (made.status_code, repeated.status_code) == (200, 200), repeated.text
    assert repeated.headers["x-turn-id"] == made.headers["x-turn-id"]
    assert repeated.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_key_is_looked_up_once(bench: ServiceBench, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    find_replay = bench.admission.find_replay

    async def count(key: IdempotencyKey | None) -> Turn | None:
        found.append(key.route if key is not None else "")
        return await find_replay(key)

    monkeypatch.setattr(bench.admission, "find_replay", count)
    async with open_api(bench, ISSUER) as http:
        headers = {"Authorization": f"Bearer {ISSUER.token(new_id())}", **KEY}
        assert (await http.post(path, headers=headers, json=REQUESTS[path])).status_code == 200
    assert found == [path]


async def test_a_turn_is_found_again_although_its_model_is_gone(bench: ServiceBench) -> None:
    user_id = new_id()
    request = make_request(user_id=user_id, key=IdempotencyKey(user_id, "/chat", "k", b"one"))
    opened = await bench.service.open(request)
    again = await bench.service.open(replace(request, model="gone"))
    assert (again.turn.id, again.replayed) == (opened.turn.id, True)
