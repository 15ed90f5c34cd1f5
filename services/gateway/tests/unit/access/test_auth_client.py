"""Client for auth: exchange of API keys, and lookup of revoked sessions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from pydantic import SecretStr

from gateway.access.auth_client import AuthClient
from gateway.errors import UpstreamUnavailable
from gateway.upstream.liveness import LivenessMonitor
from gateway_testing.upstreams import pool_of
from parley import errors
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, Responder, ScriptedServer, respond, scripted_server

TOKEN_PATH, REVOCATIONS_PATH = "/api/v1/auth/token", "/internal/revocations/check"
TOKEN = b'{"access_token":"t1","expires_in":900}'
API_KEY = "parley_" + "a" * 38


@contextlib.asynccontextmanager
async def client_of(
    *answers: tuple[str, Responder], secret: str | None = "s3cret"
) -> AsyncIterator[tuple[AuthClient, ScriptedServer]]:
    by_path = dict(answers)

    async def answer(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        await by_path[seen.target](seen, writer)

    async with scripted_server(answer) as server, pool_of(server) as pool:
        yield AuthClient(pool, SecretStr(secret) if secret else None), server
        assert pool.endpoints[0].active == 0


async def test_a_key_is_exchanged_for_a_token() -> None:
    async with client_of((TOKEN_PATH, respond(200, TOKEN))) as (client, server):
        assert await client.exchange_key(API_KEY) == "t1"
        body = bytes(server.journal[0].body).decode()
    assert f"subject_token={API_KEY}" in body
    assert "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange" in body


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error":"invalid_grant"}', errors.ApiKeyInvalid),
        (200, b"not JSON", errors.ApiKeyInvalid),
        (200, b"[1]", errors.ApiKeyInvalid),
        (429, b"{}", UpstreamUnavailable),
        (503, b"{}", UpstreamUnavailable),
    ],
)
async def test_only_a_rejected_key_is_invalid(status: int, body: bytes, error: type[Exception]) -> None:
    async with client_of((TOKEN_PATH, respond(status, body))) as (client, _):
        with pytest.raises(error):
            await client.exchange_key(API_KEY)


async def test_auth_that_refuses_connections_is_unavailable() -> None:
    async with client_of() as (client, server):
        await server.stop()
        with pytest.raises(UpstreamUnavailable):
            await client.exchange_key(API_KEY)


async def test_a_key_is_exchanged_again_when_auth_closes_the_connection_instead_of_answering() -> None:
    answers = iter([close, respond(200, TOKEN)])

    async def answer(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        await next(answers)(seen, writer)

    async with client_of((TOKEN_PATH, answer)) as (client, server):
        assert await client.exchange_key(API_KEY) == "t1"
        assert len(server.journal) == 2


async def close(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_an_oversized_response_is_a_failure() -> None:
    async with client_of((TOKEN_PATH, respond(200, b"x" * 1_100_000))) as (client, _):
        with pytest.raises(UpstreamUnavailable):
            await client.exchange_key(API_KEY)


async def test_lookups_share_a_service_token() -> None:
    found = {"revoked_sessions": ["s1"], "revoked_users": []}
    answers = ((TOKEN_PATH, respond(200, TOKEN)), (REVOCATIONS_PATH, respond(200, orjson.dumps(found))))
    async with client_of(*answers) as (client, server):
        for _ in range(2):
            assert await client.look_up_revocations({"sessions": ["s1"], "users": {}}) == found
        assert [seen.target for seen in server.journal] == [TOKEN_PATH, REVOCATIONS_PATH, REVOCATIONS_PATH]
        assert server.journal[-1].header("authorization") == "Bearer t1"
        assert b"client_secret=s3cret" in server.journal[0].body


async def test_a_rejected_service_token_is_requested_again() -> None:
    async with client_of((TOKEN_PATH, respond(200, TOKEN)), (REVOCATIONS_PATH, respond(401))) as (client, server):
        for _ in range(2):
            with pytest.raises(UpstreamUnavailable):
                await client.look_up_revocations({})
        assert [seen.target for seen in server.journal] == [TOKEN_PATH, REVOCATIONS_PATH] * 2


async def test_without_a_secret_lookups_are_unavailable() -> None:
    async with client_of(secret=None) as (client, server):
        with pytest.raises(UpstreamUnavailable):
            await client.look_up_revocations({})
        assert server.journal == []


async def test_a_key_is_exchanged_by_another_replica_when_the_first_is_frozen() -> None:
    async with (
        scripted_server() as frozen,
        scripted_server(respond(200, TOKEN)) as works,
        pool_of(frozen, works) as pool,
    ):
        frozen.freeze()
        first = pool.endpoints[0]
        exchange = asyncio.create_task(AuthClient(pool, None).exchange_key(API_KEY))
        await eventually(lambda: any(each.busy for each in first.connections))
        await LivenessMonitor(pool, check_timeout=0.05).check(first)
        assert await exchange == "t1"
