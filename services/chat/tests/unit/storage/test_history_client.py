"""What chat reads from history for a prompt."""

import asyncio
import time
from typing import Any

import httpx2
import pytest

from chat.errors import HistoryUnavailable
from chat.history import PastBranch, RegenerationSource
from chat.storage import history_client
from chat.storage.history_client import MAX_CHARACTERS, HistoryClient
from parley.ids import new_id


class ServiceTokens:
    """Gives out one service token."""

    async def get(self) -> str:
        return "service"

    def invalidate(self) -> None:
        raise AssertionError("the token is valid")


async def read(messages: list[dict[str, Any]], *, characters: int = 100, more: bool = False) -> PastBranch:
    """Return the exchanges of messages that history returns newest first."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={"messages": messages, "more": more})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://history") as http:
        client = HistoryClient(http, ServiceTokens())  # type: ignore[arg-type]  # a double of the token provider
        found = await client.exchanges(new_id(), new_id(), new_id(), characters=characters)
    (request,) = requests
    assert request.headers["Authorization"] == "Bearer service"
    assert request.url.params["characters"] == str(max(0, min(characters, MAX_CHARACTERS)))
    return found


def message(role: str, content: str) -> dict[str, Any]:
    return {"id": str(new_id()), "parent_id": str(new_id()), "role": role, "content": content, "tool_calls": None}


@pytest.mark.parametrize("characters", [-5, 32_000, MAX_CHARACTERS * 2])
async def test_one_request_reads_as_much_of_a_branch_as_the_model_can_use(characters: int) -> None:
    newest_first = [message("assistant", "b"), message("user", "B"), message("assistant", "a"), message("user", "A")]
    found = await read(newest_first, characters=characters, more=True)
    assert [(one.user_message, one.answer) for one in found.exchanges] == [("B", "b"), ("A", "a")]
    assert found.more


async def test_messages_of_one_side_in_a_row_are_one_exchange() -> None:
    said = [
        ("user", "A1"),
        ("user", "A2"),
        ("assistant", "a1"),
        ("tool", "t"),
        ("assistant", "a2"),
        ("user", "no answer"),
    ]
    found = await read([message(*one) for one in reversed(said)])
    unanswered, one = found.exchanges
    assert (unanswered.user_message, unanswered.answer, unanswered.stands_alone) == ("no answer", "", True)
    assert (one.user_message, one.answer) == ("A1\n\nA2", "a2")
    assert [(step.role, step.content) for step in one.before] == [("assistant", "a1"), ("tool", "t")]


async def test_a_branch_whose_newest_exchange_is_too_long_exists_without_exchanges() -> None:
    assert (await read([], more=True)).exists
    assert not (await read([])).exists


async def source_of(*newest_first: dict[str, Any]) -> RegenerationSource | None:
    """Return what the newest of the messages that history returns has answered."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"messages": list(newest_first), "more": False})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://history") as http:
        client = HistoryClient(http, ServiceTokens())  # type: ignore[arg-type]  # a double of the token provider
        return await client.regeneration_source(new_id(), new_id(), new_id())


async def test_an_answer_to_tool_results_is_generated_again_from_them() -> None:
    created = {"created_at": "2026-11-22T10:00:00.123Z"}
    question = message("user", "Weather?") | created
    asked = message("assistant", "") | {"tool_calls": [{"id": "c1"}]}
    results = [message("tool", text) | {"tool_call_id": text} for text in ("c2", "c1")]
    source = await source_of(message("assistant", "Rainy."), *results, asked, question)
    assert source is not None
    assert (source.continues, str(source.parent_id)) == (True, asked["id"])
    assert (str(source.user_message_id), source.user_message) == (question["id"], "Weather?")
    assert [one.tool_call_id for one in source.tool_results] == ["c1", "c2"]
    first = await source_of(asked, question)
    assert first is not None
    assert (first.continues, str(first.parent_id)) == (False, question["parent_id"])
    assert first.has_calls_of(source.tool_results)
    imported = await source_of(asked | {"tool_calls": [{"id": ["c1"]}, {}]}, question)
    assert imported is not None
    assert not imported.has_calls_of(source.tool_results)
    assert await source_of() is None


async def test_a_history_of_the_previous_version_is_unavailable_and_not_without_the_answer() -> None:
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(404, json={"code": "not_found"}))
    async with httpx2.AsyncClient(transport=transport, base_url="http://history") as http:
        client = HistoryClient(http, ServiceTokens())  # type: ignore[arg-type]  # a double of the token provider
        with pytest.raises(HistoryUnavailable):
            await client.exchanges(new_id(), new_id(), new_id(), characters=100)
        with pytest.raises(HistoryUnavailable):
            await client.regeneration_source(new_id(), new_id(), new_id())


async def test_an_answer_that_came_while_chat_was_busy_is_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_client, "CONTEXT_TIMEOUT", 0.01)

    async def answer(_request: httpx2.Request) -> httpx2.Response:
        asyncio.get_running_loop().call_soon(time.sleep, 0.05)
        for _ in range(3):  # iterations in which a connection would read the answer
            await asyncio.sleep(0)
        return httpx2.Response(200, json={"messages": [message("user", "A")], "more": False})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://history") as http:
        client = HistoryClient(http, ServiceTokens())  # type: ignore[arg-type]  # a double of the token provider
        assert (await client.exchanges(new_id(), new_id(), new_id(), characters=100)).exists
