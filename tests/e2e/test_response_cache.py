"""Response cache through the whole product."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e


@pytest.fixture
async def http(embedded: EmbeddedStack) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the profile with the cache on."""
    async with open_http(embedded.url) as client:
        yield client


async def answered_again(user: UserClient, message: str) -> dict[str, Any]:
    """Ask until the answer comes from the cache, which is filled just after the first response."""

    async def cached() -> dict[str, Any] | None:
        answer = await user.chat(message)
        return answer if answer["cached"] else None

    found: dict[str, Any] = await eventually(cached)
    return found


async def test_the_same_question_is_answered_and_stored_again_without_the_provider(
    user: UserClient, provider: FakeProvider
) -> None:
    message = f"{new_id()} [[fake tokens=3]]"
    first = await user.chat(message)
    again = await answered_again(user, message)
    asked = len(await provider.journal(contains=message))
    events = [event async for event in user.stream(message)]
    assert "".join(event.data["delta"] for event in events) == again["message"] == first["message"] == "t1 t2 t3"
    assert (events[-1].data["cached"], events[-1].data["tokens_used"], first["cached"]) == (True, 0, False)
    assert len(await provider.journal(contains=message)) == asked
    path = f"/api/v1/conversations/{again['conversation_id']}/messages?wait_for={again['turn_id']}"
    stored = (await user.request("GET", path)).json()["data"]
    assert [m["content"] for m in stored] == [message, "t1 t2 t3"]


async def test_no_cache_reaches_chat_through_the_gateway(user: UserClient, provider: FakeProvider) -> None:
    message = f"{new_id()} [[fake tokens=3]]"
    await user.chat(message)
    await answered_again(user, message)
    asked = len(await provider.journal(contains=message))
    response = await user.request(
        "POST", "/api/v1/chat", json={"message": message}, headers={"Cache-Control": "no-cache"}
    )
    assert response.json()["cached"] is False
    assert len(await provider.journal(contains=message)) == asked + 1


async def test_another_user_gets_a_new_answer(user: UserClient, other_user: UserClient) -> None:
    message = f"{new_id()} [[fake tokens=3]]"
    await user.chat(message)
    await answered_again(user, message)
    assert (await other_user.chat(message))["cached"] is False
