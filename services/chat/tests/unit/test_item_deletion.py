"""Items that users delete from conversations, on in-memory stores."""

from collections.abc import AsyncIterator

import pytest

from chat.admission.item_deletion import deleted_messages, revision
from chat.errors import ProviderFailure
from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat_testing.generator import answer_of, call_of
from chat_testing.items_user import CALL, HELLO, OUTPUT, ItemsUser, open_items_user, said
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id


@pytest.fixture
async def user(bench: ServiceBench) -> AsyncIterator[ItemsUser]:
    async with open_items_user(bench) as found:
        yield found


async def test_a_deleted_item_is_neither_listed_nor_context_and_the_others_keep_their_ids(user: ItemsUser) -> None:
    conversation = await user.conversation(said("user", "Secret"), said("assistant", "Noted"), HELLO)
    await user.ask(conversation)
    before = await user.items(conversation)
    left = await user.delete(conversation, before[0]["id"])
    assert (left["id"], left["object"]) == (conversation, "conversation")
    assert await user.items(conversation) == before[1:]
    await user.delete(conversation, before[4]["id"])
    sent = await user.ask(conversation)
    assert [message["content"] for message in sent] == ["Noted", "Hello!", "And now?", "And now?"]
    for gone in (before[0], before[4]):
        await user.delete(conversation, gone["id"], 404)
        await user.send("GET", f"conversations/{conversation}/items/{gone['id']}", 404)


async def test_what_is_deleted_leaves_every_column_of_the_turn(bench: ServiceBench, user: ItemsUser) -> None:
    made = await user.send("POST", "responses", json={"model": "default", "input": "Secret"})
    conversation = made["conversation"]["id"]
    (turn,) = bench.engine.turns.turns.values()
    for item in await user.items(conversation):
        await user.delete(conversation, item["id"])
    left = bench.engine.turns.turns[turn.id]
    assert "Secret" not in repr(left)
    assert "Hel" not in repr(left)
    assert len(left.entries) == len(turn.entries)
    assert (await user.send("GET", f"responses/{made['id']}"))["output"] == []
    assert bench.engine.turns.event_names[-2:] == ["conversation.turn.redacted"] * 2


@pytest.mark.parametrize("gone", [1, 2])
async def test_neither_half_of_a_deleted_call_reaches_a_provider(user: ItemsUser, gone: int) -> None:
    conversation = await user.conversation(said("user", "Weather?"), CALL, OUTPUT, said("assistant", "Sun."))
    items = await user.items(conversation)
    await user.delete(conversation, items[gone]["id"])
    sent = await user.ask(conversation)
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert all("tool_calls" not in message for message in sent)


async def test_the_calls_beside_a_deleted_one_keep_their_ids(bench: ServiceBench, user: ItemsUser) -> None:
    calls = tuple(
        {"index": index, "id": f"c{index}", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        for index in range(3)
    )
    bench.engine.generator.chunks = [AnswerChunk(LogEntry("", calls)), AnswerChunk(finish_reason="tool_calls")]
    made = await user.send("POST", "responses", json={"model": "default", "input": "Weather?"})
    conversation = made["conversation"]["id"]
    ids = [item["id"] for item in made["output"]]
    await user.delete(conversation, ids[0])
    await user.delete(conversation, ids[0], 404)
    assert [item["id"] for item in await user.items(conversation)][1:] == ids[1:]
    assert [item["id"] for item in (await user.send("GET", f"responses/{made['id']}"))["output"]] == ids[1:]
    await user.delete(conversation, ids[1])
    await user.delete(conversation, ids[2])
    assert len(await user.items(conversation)) == 1


async def test_an_item_is_deleted_from_the_regenerations_that_share_it(bench: ServiceBench, user: ItemsUser) -> None:
    conversation = await user.conversation(said("user", "Secret"))
    (turn,) = bench.engine.turns.turns.values()
    again = {"regenerate": str(turn.id), "conversation_id": str(turn.conversation_id)}
    response = await user.http.post("/api/v1/chat", json=again, headers=user.headers)
    assert response.status_code == 200, response.text
    await user.delete(conversation, f"msg_{turn.id.hex}_i0")
    assert "Secret" not in repr(bench.engine.turns.turns)


async def test_an_item_of_a_running_turn_is_refused_until_the_turn_ends(bench: ServiceBench, user: ItemsUser) -> None:
    bench.engine.generator.endless = True
    running = await user.send("POST", "responses", json={"model": "default", "input": "Hi", "background": True})
    conversation, turn = running["conversation"]["id"], running["id"].removeprefix("resp_")
    for item in (f"msg_{turn}_i0", f"msg_{turn}"):
        assert (await user.delete(conversation, item, 409))["error"]["code"] == "turn_in_progress"
    await user.delete(conversation, f"msg_{new_id().hex}_i0", 404)
    await user.send("POST", f"responses/{running['id']}/cancel")
    await user.delete(conversation, f"msg_{turn}_i0")


async def test_earlier_items_wait_for_the_turn_that_runs_in_their_conversation(
    bench: ServiceBench, user: ItemsUser
) -> None:
    conversation = await user.conversation(HELLO)
    (item,) = await user.items(conversation)
    bench.engine.generator.endless = True
    body = {"model": "default", "input": "Hi", "background": True, "conversation": conversation}
    running = await user.send("POST", "responses", json=body)
    await user.delete(conversation, item["id"], 409)
    await user.send("POST", f"responses/{running['id']}/cancel")


async def test_the_question_of_a_turn_never_becomes_what_was_said_before_it(
    bench: ServiceBench, user: ItemsUser
) -> None:
    given = [said("user", "Before"), said("assistant", "Noted"), said("user", "Question"), said("user", "More")]
    made = await user.send("POST", "responses", json={"model": "default", "input": given})
    (turn,) = bench.engine.turns.turns.values()
    for place in (1, 2, 3):
        await user.delete(made["conversation"]["id"], f"msg_{turn.id.hex}_i{place}")
        left = bench.engine.turns.turns[turn.id]
        assert left.user_message == ["Question\n\nMore", "More", ""][place - 1]
    assert deleted_messages(left) == {turn.user_message_id}
    assert [item["role"] for item in await user.items(made["conversation"]["id"])] == ["user", "assistant"]


async def test_outputs_with_one_call_id_are_deleted_one_by_one(bench: ServiceBench, user: ItemsUser) -> None:
    given = [HELLO, CALL, OUTPUT, said("assistant", "Sun."), CALL, {**OUTPUT, "output": "Rain"}]
    made = await user.send("POST", "responses", json={"model": "default", "input": given})
    (turn,) = bench.engine.turns.turns.values()
    path = made["conversation"]["id"]
    await user.delete(path, f"fco_{turn.id.hex}_i2")
    assert [result.content for result in bench.engine.turns.turns[turn.id].tool_results] == ["Rain"]
    await user.delete(path, f"fco_{turn.id.hex}_i5")
    (result,) = bench.engine.turns.turns[turn.id].tool_results
    assert (result.content, deleted_messages(bench.engine.turns.turns[turn.id])) == ("", {result.id})


async def test_turns_that_continue_lose_the_copy_of_a_question_with_a_revision(
    bench: ServiceBench, user: ItemsUser
) -> None:
    bench.engine.generator.chunks = call_of("c1")
    tools = [{"type": "function", "name": "weather", "parameters": {}}]
    body = {"model": "default", "input": [said("user", "Secret"), said("user", "Weather?")], "tools": tools}
    made = await user.send("POST", "responses", json=body)
    bench.engine.generator.chunks = answer_of("Sun")
    continued = {"model": "default", "previous_response_id": made["id"], "input": [OUTPUT]}
    await user.send("POST", "responses", json=continued)
    first, second = bench.engine.turns.turns.values()
    assert second.continues
    await user.delete(made["conversation"]["id"], f"msg_{first.id.hex}_i0")
    found = bench.engine.turns.turns
    assert [(found[turn.id].user_message, revision(found[turn.id])) for turn in (first, second)] == [
        ("Weather?", 1)
    ] * 2
    await user.delete(made["conversation"]["id"], f"msg_{second.id.hex}")
    sent = await user.ask(made["conversation"]["id"])
    assert [(message["role"], message.get("content")) for message in sent] == [
        *(("user", "Weather?"), ("assistant", None), ("tool", "Sun"), ("user", "And now?"))
    ]


async def test_a_call_that_a_provider_numbered_otherwise_leaves_the_log(bench: ServiceBench, user: ItemsUser) -> None:
    bench.engine.generator.chunks = call_of("c1", index=1)
    made = await user.send("POST", "responses", json={"model": "default", "input": "Weather?"})
    (turn,) = bench.engine.turns.turns.values()
    call = (await user.items(made["conversation"]["id"]))[1]
    await user.delete(made["conversation"]["id"], call["id"])
    left = bench.engine.turns.turns[turn.id]
    assert "weather" not in repr(left)
    assert len(left.entries) == len(turn.entries)


async def test_nothing_of_the_reasoning_is_left_with_the_last_item_of_an_answer(
    bench: ServiceBench, user: ItemsUser
) -> None:
    bench.engine.generator.chunks = [AnswerChunk(LogEntry(reasoning="Thought")), *call_of("c1")]
    made = await user.send("POST", "responses", json={"model": "default", "input": "Weather?"})
    await user.delete(made["conversation"]["id"], made["output"][1]["id"])
    (turn,) = bench.engine.turns.turns.values()
    assert "Thought" not in repr(turn)
    assert (await user.send("GET", f"responses/{made['id']}"))["output"] == []


async def test_an_answer_to_a_deleted_question_is_not_generated_again(bench: ServiceBench, user: ItemsUser) -> None:
    made = await user.send("POST", "responses", json={"model": "default", "input": "Secret"})
    (turn,) = bench.engine.turns.turns.values()
    await user.delete(made["conversation"]["id"], f"msg_{turn.id.hex}_i0")
    again = {"regenerate": str(turn.id), "conversation_id": str(turn.conversation_id)}
    response = await user.http.post("/api/v1/chat", json=again, headers=user.headers)
    assert (response.status_code, response.json()["code"]) == (404, "message_not_found")
    assert len(bench.engine.turns.turns) == 1


async def test_what_is_left_of_the_input_of_a_failed_turn_does_not_become_context(
    bench: ServiceBench, user: ItemsUser
) -> None:
    bench.engine.generator.chunks, bench.engine.generator.failure = (), ProviderFailure()
    body = {"model": "default", "input": [said("user", "One"), said("user", "Two")], "conversation": None}
    conversation = await user.conversation(HELLO)
    await user.send("POST", "responses", 502, json={**body, "conversation": conversation})
    failed = list(bench.engine.turns.turns.values())[-1]
    bench.engine.generator.chunks, bench.engine.generator.failure = answer_of("Hello"), None
    await user.delete(conversation, f"msg_{failed.id.hex}_i0")
    follow = {"model": "default", "input": "Go on", "previous_response_id": f"resp_{failed.id.hex}"}
    await user.send("POST", "responses", json=follow)
    sent = [message["content"] for message in bench.engine.generator.prompts[-1].messages]
    assert sent == ["Hello!", "Go on"]
