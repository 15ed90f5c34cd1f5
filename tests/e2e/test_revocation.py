"""Revocation: a session that ends at one gateway is refused at the other, and its streams end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

import httpx2
import pytest

from parley_testing import eventually
from parley_testing.http.client import SseEvent, UserClient, open_http, register
from parley_testing.stacks.separate_processes import SeparateStack

pytestmark = pytest.mark.e2e

REVOCATION_MS = 1000
STREAM_END_TIMEOUT = 2.5
POLL = 0.005
"""Seconds between two requests to the other gateway."""
GATEWAY_CHECKED = "/api/v1/models"
"""A route of chat, which does not check sessions: only the gateway refuses it."""
Gateways: TypeAlias = tuple[httpx2.AsyncClient, httpx2.AsyncClient]


@pytest.fixture
async def gateways(separate: SeparateStack) -> AsyncIterator[Gateways]:
    here, there = separate.gateways
    async with open_http(here.url) as first, open_http(there.url) as second:
        yield first, second


@pytest.fixture
async def person(gateways: Gateways) -> UserClient:
    return await register(gateways[0])


async def ask(gateway: httpx2.AsyncClient, credential: str) -> httpx2.Response:
    return await gateway.get(GATEWAY_CHECKED, headers={"Authorization": f"Bearer {credential}"})


async def refused_there(
    gateways: Gateways, credential: str, end: Callable[[], Awaitable[httpx2.Response]]
) -> httpx2.Response:
    """End a session at one gateway; return the response when the other gateway refuses the credential in time."""
    _, there = gateways
    before = await ask(there, credential)
    assert before.status_code == httpx2.codes.OK, before.text
    answer = await end()
    answered = time.monotonic()
    while (refusal := await ask(there, credential)).status_code == httpx2.codes.OK:
        assert time.monotonic() - answered < 10 * REVOCATION_MS / 1000, "never refused"
        await asyncio.sleep(POLL)
    milliseconds = (time.monotonic() - answered) * 1000
    print(f"refused on the other gateway {milliseconds:.0f} ms after the answer")
    assert refusal.status_code == httpx2.codes.UNAUTHORIZED, refusal.text
    assert milliseconds <= REVOCATION_MS
    return answer


async def refresh(client: UserClient, token: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await client.http.post("/api/v1/auth/token", data=form)


async def log_out(client: UserClient) -> httpx2.Response:
    return await client.http.post("/api/v1/auth/revoke", data={"token": client.tokens["refresh_token"]})


async def test_logging_out_at_one_gateway_ends_the_session_at_the_other(gateways: Gateways, person: UserClient) -> None:
    answer = await refused_there(gateways, person.tokens["access_token"], lambda: log_out(person))
    assert answer.status_code == httpx2.codes.OK
    refusal = await ask(gateways[1], person.tokens["access_token"])
    assert refusal.json()["code"] == "session_revoked"


async def test_a_new_password_at_one_gateway_ends_the_other_sessions_at_the_other(
    gateways: Gateways, person: UserClient
) -> None:
    other = replace(person, tokens={})
    await other.log_in()
    body = {"current_password": person.password, "new_password": f"{person.password}-new"}
    answer = await refused_there(
        gateways,
        other.tokens["access_token"],
        lambda: person.request("POST", "/api/v1/auth/me/password", json=body),
    )
    assert answer.status_code == httpx2.codes.NO_CONTENT, answer.text
    assert (await ask(gateways[1], person.tokens["access_token"])).status_code == httpx2.codes.OK
    assert (await refresh(other, other.tokens["refresh_token"])).status_code == httpx2.codes.BAD_REQUEST


async def test_an_api_key_deleted_at_one_gateway_is_refused_at_the_other(
    gateways: Gateways, person: UserClient
) -> None:
    made = await person.request("POST", "/api/v1/auth/api-keys", json={"name": "ci"})
    assert made.status_code == httpx2.codes.CREATED, made.text
    key = made.json()
    path = f"/api/v1/auth/api-keys/{key['id']}"
    answer = await refused_there(gateways, key["key"], lambda: person.request("DELETE", path))
    assert answer.status_code == httpx2.codes.NO_CONTENT, answer.text


async def test_a_replayed_refresh_token_ends_its_family_at_the_other_gateway(
    gateways: Gateways, person: UserClient
) -> None:
    grandparent = person.tokens["refresh_token"]
    parent = (await refresh(person, grandparent)).json()
    newest = (await refresh(person, parent["refresh_token"])).json()
    answer = await refused_there(gateways, newest["access_token"], lambda: refresh(person, grandparent))
    assert (answer.status_code, answer.json()["error"]) == (httpx2.codes.BAD_REQUEST, "invalid_grant")
    refusals = [await ask(gateways[1], token["access_token"]) for token in (person.tokens, parent, newest)]
    assert [refusal.status_code for refusal in refusals] == [httpx2.codes.UNAUTHORIZED] * 3
    assert (await refresh(person, newest["refresh_token"])).status_code == httpx2.codes.BAD_REQUEST


async def test_an_open_stream_of_an_ended_session_ends_while_its_turn_goes_on(
    gateways: Gateways, person: UserClient
) -> None:
    reader = replace(person, http=gateways[1], tokens=dict(person.tokens))
    events: list[SseEvent] = []
    ended = 0.0
    async with aclosing(reader.stream("a long answer [[fake tokens=120 rate=20]]")) as stream:  # type: ignore[type-var]
        async for event in stream:
            events.append(event)
            if not ended and len(events) > 1:
                await log_out(person)
                ended = time.monotonic()
    seconds = time.monotonic() - ended
    print(f"the stream ended {seconds:.2f} s after the answer")
    assert events[-1].name == "session_revoked"
    assert seconds <= STREAM_END_TIMEOUT
    await person.log_in()
    path = f"/api/v1/chat/turns/{events[0].data['turn_id']}"
    assert (await person.request("GET", path)).json()["status"] == "running"

    async def completed() -> bool:
        return bool((await person.request("GET", path)).json()["status"] == "completed")

    await eventually(completed, within=20)
