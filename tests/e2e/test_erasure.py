"""Erasure of a user in all services while one of them is down."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from parley_testing import eventually
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.separate_processes import SeparateStack

pytestmark = pytest.mark.e2e

PROPAGATION_TIMEOUT = 20.0


@pytest.fixture
async def gateway(separate: SeparateStack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(separate.url) as http:
        yield http


@pytest.fixture
async def person(gateway: httpx2.AsyncClient) -> UserClient:
    return await register(gateway)


@pytest.fixture
async def conversation(person: UserClient) -> str:
    found: str = (await person.chat("remember me [[fake tokens=2]]"))["conversation_id"]

    async def stored() -> bool:
        response = await person.request("GET", f"/api/v1/conversations/{found}")
        return response.status_code == httpx2.codes.OK

    await eventually(stored, within=PROPAGATION_TIMEOUT)
    return found


async def status_of(gateway: httpx2.AsyncClient, location: str) -> dict[str, Any]:
    """Return the public status, requested without credentials."""
    response = await gateway.get(location)
    assert response.status_code == httpx2.codes.OK, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_an_erasure_is_running_until_the_last_service_has_forgotten(
    separate: SeparateStack, gateway: httpx2.AsyncClient, person: UserClient, conversation: str
) -> None:
    path = f"/api/v1/conversations/{conversation}"
    worker = separate.workers[0]
    await worker.stop()
    try:
        accepted = await person.request("DELETE", "/api/v1/auth/me")
        assert accepted.status_code == httpx2.codes.ACCEPTED, accepted.text
        location = accepted.headers["location"]
        assert location == f"/api/v1/auth/erasures/{accepted.json()['id']}"

        async def only_history_is_pending() -> bool:
            services = (await status_of(gateway, location))["services"]
            return bool(
                services == {"auth": "confirmed", "chat": "confirmed", "history": "pending", "webhooks": "confirmed"}
            )

        await eventually(only_history_is_pending, within=PROPAGATION_TIMEOUT)
        waiting = await status_of(gateway, location)
        assert (waiting["status"], waiting["completed_at"]) == ("running", None)
    finally:
        await worker.start()

    async def completed() -> bool:
        return bool((await status_of(gateway, location))["status"] == "completed")

    await eventually(completed, within=PROPAGATION_TIMEOUT)
    assert set((await status_of(gateway, location))["services"].values()) == {"confirmed"}
    await assert_erased(separate, gateway, person, path)


async def assert_erased(separate: SeparateStack, gateway: httpx2.AsyncClient, person: UserClient, path: str) -> None:
    """Assert that the token, the password and a new account of the same name reach no erased data."""
    old_token = await person.request("GET", path)
    assert (old_token.status_code, old_token.json()["code"]) == (httpx2.codes.UNAUTHORIZED, "session_revoked")
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    refused = await gateway.post("/api/v1/auth/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (httpx2.codes.BAD_REQUEST, "invalid_grant")
    body = {"username": person.username, "password": person.password}
    assert (await gateway.post("/api/v1/auth/register", json=body)).status_code == httpx2.codes.CREATED
    successor = UserClient(gateway, person.username, person.password)
    await successor.log_in()
    assert (await successor.request("GET", path)).status_code == httpx2.codes.NOT_FOUND
    assert await rows_of(separate, path.rsplit("/", 1)[1]) == (0, 0)


async def rows_of(separate: SeparateStack, conversation: str) -> tuple[int, int]:
    """Return the numbers of rows of a conversation and of its messages in history's database."""
    connection = await asyncpg.connect(separate.database_urls["history"])
    try:
        conversations = await connection.fetchval(
            "SELECT count(*) FROM conversations WHERE id = $1::uuid", conversation
        )
        messages = await connection.fetchval(
            "SELECT count(*) FROM messages WHERE conversation_id = $1::uuid", conversation
        )
    finally:
        await connection.close()
    return conversations, messages
