"""Turns that have texts of other turns: what is deleted while a turn is admitted is not stored again."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from chat_testing.api import shared_app
from chat_testing.asgi_socket import open_socket
from chat_testing.bench import EngineBench
from chat_testing.deleting_turn_store import DeletingTurnStore
from chat_testing.generator import answer_of, call_of
from chat_testing.items_user import OUTPUT, ItemsUser, open_items_user, said
from chat_testing.responses_socket import PATH, events_of, response_of
from chat_testing.service_bench import ServiceBench


@pytest.fixture
def turns() -> DeletingTurnStore:
    return DeletingTurnStore()


@pytest.fixture
def bench(turns: DeletingTurnStore) -> ServiceBench:
    found = ServiceBench(engine=EngineBench(turns=turns))
    found.engine.generator.chunks = answer_of("Hel", "lo")
    return found


@pytest.fixture
async def user(bench: ServiceBench) -> AsyncIterator[ItemsUser]:
    async with open_items_user(bench) as found:
        yield found


async def test_a_regeneration_does_not_store_again_what_was_deleted_while_it_was_admitted(
    turns: DeletingTurnStore, user: ItemsUser
) -> None:
    conversation = await user.conversation(said("user", "Secret"))
    (turn,) = turns.turns.values()
    turns.delete = partial(user.delete, conversation, f"msg_{turn.id.hex}_i0")
    again = {"regenerate": str(turn.id), "conversation_id": str(turn.conversation_id)}
    refused = await user.http.post("/api/v1/chat", json=again, headers=user.headers)
    assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")
    assert "Secret" not in repr(turns.turns)


async def test_a_continuation_does_not_store_again_what_was_deleted_while_it_was_admitted(
    bench: ServiceBench, turns: DeletingTurnStore, user: ItemsUser
) -> None:
    bench.engine.generator.chunks = call_of("c1")
    tools = [{"type": "function", "name": "weather", "parameters": {}}]
    body = {"model": "default", "input": [said("user", "Secret"), said("user", "Weather?")], "tools": tools}
    made = await user.send("POST", "responses", json=body)
    (first,) = turns.turns.values()
    bench.engine.generator.chunks = answer_of("Sun")
    turns.delete = partial(user.delete, made["conversation"]["id"], f"msg_{first.id.hex}_i0")
    continued = {"model": "default", "previous_response_id": made["id"], "input": [OUTPUT]}
    await user.send("POST", "responses", json=continued)
    assert [turn.user_message for turn in turns.turns.values()] == ["Weather?"] * 2
    assert "Secret" not in repr(bench.engine.generator.prompts[-1])


async def asked(user: ItemsUser) -> tuple[str, str, str]:
    """Return the conversation of a response, and the IDs of two items of its input."""
    given = [said("user", "Secret"), said("assistant", "Noted"), said("user", "Hi")]
    made = await user.send("POST", "responses", json={"model": "default", "input": given})
    return made["conversation"]["id"], *(f"msg_{made['id'].removeprefix('resp_')}_i{place}" for place in range(2))


async def refer(user: ItemsUser, item: str, status: int, path: str = "responses", **members: Any) -> Any:
    given = [{"type": "item_reference", "id": item}, said("user", "Go on")]
    return await user.send("POST", path, status, json={"model": "default", "input": given, **members})


@pytest.mark.parametrize("where", ["here", "elsewhere", "unstored", "compact"])
async def test_a_referenced_item_is_not_found_if_it_was_deleted_while_its_copy_was_admitted(
    bench: ServiceBench, turns: DeletingTurnStore, user: ItemsUser, where: str
) -> None:
    conversation, secret, noted = await asked(user)
    everywhere: dict[str, dict[str, Any]] = {"here": {"conversation": conversation}, "unstored": {"store": False}}
    members = everywhere.get(where, {})
    path = "responses/compact" if where == "compact" else "responses"
    turns.delete = partial(user.delete, conversation, secret)
    refused = await refer(user, secret, 404, path, **members)
    assert refused["error"]["param"] == "input.0.id"
    assert "Secret" not in repr(turns.turns)
    await refer(user, noted, 200, path, **members)
    assert "Noted" in repr(bench.engine.generator.prompts[-1])


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_an_item_that_is_left_is_copied_although_another_was_deleted_meanwhile(
    bench: ServiceBench, turns: DeletingTurnStore, user: ItemsUser, where: str
) -> None:
    conversation, secret, noted = await asked(user)
    turns.delete = partial(user.delete, conversation, secret)
    await refer(user, noted, 200, **({"conversation": conversation} if where == "here" else {}))
    sent = repr(bench.engine.generator.prompts[-1])
    assert "Noted" in sent
    assert "Secret" not in sent


async def test_an_item_of_a_conversation_that_was_deleted_meanwhile_is_not_copied(
    turns: DeletingTurnStore, user: ItemsUser
) -> None:
    _, secret, _ = await asked(user)
    (turn,) = turns.turns.values()
    assert turn.conversation_id is not None
    row = turns.conversations[turn.conversation_id]

    async def delete() -> None:
        row.deleted = True

    turns.delete = delete
    await refer(user, secret, 404)
    assert list(turns.turns) == [turn.id]


@pytest.mark.parametrize("path", ["responses", "responses/compact"])
async def test_an_unstored_turn_does_not_read_what_was_deleted_while_it_was_admitted(
    bench: ServiceBench, turns: DeletingTurnStore, user: ItemsUser, path: str
) -> None:
    made = await user.send("POST", "responses", json={"model": "default", "input": "Secret"})
    (first,) = turns.turns.values()
    turns.delete = partial(user.delete, made["conversation"]["id"], f"msg_{first.id.hex}_i0")
    store = {"store": False} if path == "responses" else {}
    follow = {"model": "default", "input": "Go on", "previous_response_id": made["id"], **store}
    await user.send("POST", path, json=follow)
    sent = repr(bench.engine.generator.prompts[-1])
    assert "Hello" in sent
    assert "Secret" not in sent


async def test_a_prepared_response_does_not_keep_the_text_of_an_item_that_is_deleted_before_its_answer(
    turns: DeletingTurnStore, user: ItemsUser
) -> None:
    conversation, secret, noted = await asked(user)
    token = user.headers["Authorization"].removeprefix("Bearer ")
    async with open_socket(shared_app(), PATH, token) as socket:

        async def prepared(item: str) -> str:
            given = [{"type": "item_reference", "id": item}]
            return str((await response_of(socket, generate=False, input=given))["id"])

        goes_on = await response_of(socket, previous_response_id=await prepared(noted))
        kept = await prepared(secret)
        await user.delete(conversation, secret)
        (error,) = await events_of(socket, previous_response_id=kept)
    assert (goes_on["status"], error["status"]) == ("completed", 404)
    assert "Secret" not in repr(turns.turns)
