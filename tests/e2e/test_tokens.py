"""Expired tokens, and tokens for others, signed with a key that the services trust."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import orjson
import pytest

from parley_testing.http.client import open_http
from parley_testing.security.token_issuer import TestIssuer
from parley_testing.stacks.separate import SeparateStack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture(scope="module")
async def keys_url(issuer: TestIssuer) -> AsyncIterator[str]:
    body = orjson.dumps(issuer.jwks())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}/jwks.json"


@pytest.fixture(scope="module")
async def gateway(separate: SeparateStack, keys_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A gateway and a chat that trust this module's issuer instead of auth."""
    chat = separate.chat[0].twin("chat-keys", JWKS_URL=keys_url)
    front = separate.gateways[0].twin("gateway-keys", JWKS_URL=keys_url, CHAT_URL=chat.url)
    try:
        await asyncio.gather(chat.start(), front.start())
        async with open_http(front.url) as http:
            yield http
    finally:
        await asyncio.gather(chat.stop(), front.stop())


async def answer(gateway: httpx2.AsyncClient, token: str) -> tuple[int, str | None]:
    response = await gateway.get("/api/v1/models", headers={"Authorization": f"Bearer {token}"})
    return response.status_code, response.json().get("code")


async def test_a_valid_token_is_accepted(gateway: httpx2.AsyncClient, issuer: TestIssuer) -> None:
    assert await answer(gateway, issuer.token()) == (200, None)


async def test_an_expired_token_is_refused_as_expired(gateway: httpx2.AsyncClient, issuer: TestIssuer) -> None:
    assert await answer(gateway, issuer.token(lifetime=-60)) == (401, "token_expired")


@pytest.mark.parametrize(
    "changes",
    [{"aud": "another"}, {"aud": ["parley", "another"]}, {"iss": "http://evil.example"}, {"sub": "nobody"}],
    ids=["for another audience", "for several audiences", "of another issuer", "of nobody"],
)
async def test_a_token_is_refused(gateway: httpx2.AsyncClient, issuer: TestIssuer, changes: dict[str, object]) -> None:
    assert await answer(gateway, issuer.sign({**issuer.claims(), **changes})) == (401, "token_invalid")


async def test_a_token_of_another_key_with_the_same_key_id_is_refused(
    gateway: httpx2.AsyncClient, issuer: TestIssuer
) -> None:
    other = TestIssuer(issuer.issuer, issuer.kid)
    assert await answer(gateway, other.token()) == (401, "token_invalid")
