"""Forged, altered, replayed and revoked credentials, over HTTP and over the WebSocket."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from parley_testing import eventually
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.security.forged_tokens import Genuine, forged
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

PATH = "/api/v1/auth/me"
SOCKET = "/api/v1/chat/ws"
UNAUTHENTICATED, INVALID_FRAME = 4401, 4400
CONCURRENCY = 16


@pytest.fixture(scope="module")
async def gateway(embedded: EmbeddedStack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(embedded.url) as client:
        yield client


@pytest.fixture(scope="module")
async def victim(gateway: httpx2.AsyncClient) -> UserClient:
    return await register(gateway)


@pytest.fixture(scope="module")
async def genuine(gateway: httpx2.AsyncClient, victim: UserClient) -> Genuine:
    token = victim.tokens["access_token"]
    header = jwt.get_unverified_header(token)
    keys = (await gateway.get("/.well-known/jwks.json")).json()["keys"]
    claims = jwt.decode(token, options={"verify_signature": False})
    return Genuine(token, header, claims, next(key for key in keys if key["kid"] == header["kid"]))


async def frame_outcome(url: str, frame: str) -> str:
    """Send a frame as the first one over a new WebSocket; return ``ready``, or the code with which it closed."""
    async with connect(
        f"ws{url.removeprefix('http')}{SOCKET}", proxy=None, compression=None, open_timeout=20
    ) as socket:
        try:
            await socket.send(frame)
            async with asyncio.timeout(10):
                return str(json.loads(await socket.recv())["type"])
        except ConnectionClosed:
            return str(socket.close_code)


async def offer_outcome(url: str, token: str) -> str:
    """Offer a token among the subprotocols; return ``ready``, or the status of the refusal."""
    names = [Subprotocol("parley.v1"), Subprotocol(f"parley.bearer.{token}")]
    address = f"ws{url.removeprefix('http')}{SOCKET}"
    try:
        async with connect(address, subprotocols=names, proxy=None, compression=None, open_timeout=20) as socket:
            return str(json.loads(await socket.recv())["type"])
    except InvalidStatus as error:
        return str(error.response.status_code)
    except ConnectionClosed as error:
        return str(error.rcvd.code if error.rcvd else None)


async def test_no_forged_token_passes(embedded: EmbeddedStack, gateway: httpx2.AsyncClient, genuine: Genuine) -> None:
    tokens = dict(forged(genuine))
    slots, seen, passed = asyncio.Semaphore(CONCURRENCY), Counter[str](), list[str]()

    async def attack(name: str, token: str) -> None:
        async with slots:
            for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
                status = (await gateway.get(PATH, headers=headers)).status_code
                seen[f"HTTP {status}"] += 1
                if status not in (httpx2.codes.BAD_REQUEST, httpx2.codes.UNAUTHORIZED):
                    passed.append(f"{name}: {status} with {next(iter(headers))}")
            outcome = await frame_outcome(embedded.url, json.dumps({"type": "auth", "token": token}))
            seen[f"WebSocket {outcome}"] += 1
            if outcome not in (str(UNAUTHENTICATED), str(INVALID_FRAME)):
                passed.append(f"{name}: {outcome} as a frame")

    await asyncio.gather(*(attack(name, token) for name, token in tokens.items()))
    print(f"\nforged tokens: {len(tokens)} tokens, {sum(seen.values())} attempts, {len(passed)} passed, {dict(seen)}")
    assert passed == []
    assert (await gateway.get(PATH, headers={"Authorization": f"Bearer {genuine.token}"})).status_code == 200
    assert await frame_outcome(embedded.url, json.dumps({"type": "auth", "token": genuine.token})) == "ready"


async def test_a_good_token_in_a_wrong_place_is_no_credential(
    gateway: httpx2.AsyncClient, genuine: Genuine, victim: UserClient
) -> None:
    token = genuine.token
    other = "parley_" + "0" * 38
    attempts: dict[str, dict[str, Any]] = {
        "query": {"params": {"access_token": token}},
        "cookie": {"headers": {"Cookie": f"access_token={token}; session={token}"}},
        "Basic": {"headers": {"Authorization": f"Basic {token}"}},
        "scheme alone": {"headers": {"Authorization": token}},
        "Token": {"headers": {"Authorization": f"Token {token}"}},
        "as an API key": {"headers": {"X-API-Key": token}},
        "beside an API key": {"headers": {"Authorization": f"Bearer {token}", "X-API-Key": other}},
        "twice": {"headers": [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]},
        "of another kind": {"headers": {"Authorization": f"Bearer {victim.tokens['refresh_token']}"}},
        "forwarded": {"headers": {"X-Forwarded-User": victim.username, "X-User-Id": genuine.claims["sub"]}},
    }
    statuses = {name: (await gateway.get(PATH, **options)).status_code for name, options in attempts.items()}
    print(f"\nmisplaced credentials: {statuses}")
    assert {name: status for name, status in statuses.items() if status not in (400, 401)} == {}


async def test_a_replayed_refresh_token_ends_the_session(gateway: httpx2.AsyncClient) -> None:
    user = await register(gateway)
    first = user.tokens["refresh_token"]
    for _ in range(2):
        form = {"grant_type": "refresh_token", "refresh_token": user.tokens["refresh_token"]}
        user.tokens = (await gateway.post("/api/v1/auth/token", data=form)).json()
    replayed = await gateway.post("/api/v1/auth/token", data={"grant_type": "refresh_token", "refresh_token": first})
    assert replayed.json()["error"] == "invalid_grant"

    async def ended() -> bool:
        return (await user.request("GET", PATH)).status_code == httpx2.codes.UNAUTHORIZED

    await eventually(ended, within=20)


def disguised(token: str) -> dict[str, str]:
    """Return auth frames that parsers read differently: numbers that are none, repeated and escaped members."""
    text = json.dumps(token)
    return {
        "plain": f'{{"type":"auth","token":{text}}}',
        "NaN": f'{{"type":"auth","token":{text},"x":NaN}}',
        "Infinity": f'{{"type":"auth","token":{text},"x":Infinity}}',
        "-Infinity": f'{{"type":"auth","token":{text},"x":-Infinity}}',
        "NaN before the token": f'{{"type":"auth","token":NaN,"token":{text}}}',
        "NaN before the type": f'{{"type":NaN,"type":"auth","token":{text}}}',
        "Infinity before the token": f'{{"token":Infinity,"type":"auth","token":{text}}}',
        "1e999 before the token": f'{{"token":1e999,"type":"auth","token":{text}}}',
        "surrogate before the token": f'{{"token":"\\ud800","type":"auth","token":{text}}}',
        "large number before the token": f'{{"token":{"9" * 400},"type":"auth","token":{text}}}',
        "deep before the token": f'{{"token":{"[" * 150}{"]" * 150},"type":"auth","token":{text}}}',
        "type last": f'{{"type":"chat.create","token":{text},"type":"auth"}}',
        "type first": f'{{"type":"auth","token":{text},"type":"chat.create"}}',
        "token twice": f'{{"type":"auth","token":"x","token":{text}}}',
        "escaped type": f'{{"type":"\\u0061uth","token":{text}}}',
        "escaped member": f'{{"t\\u0079pe":"auth","token":{text}}}',
        "byte order mark": f'\ufeff{{"type":"auth","token":{text}}}',
        "trailing comma": f'{{"type":"auth","token":{text},}}',
        "comment": f'{{"type":"auth",/**/"token":{text}}}',
        "lone surrogate": f'{{"type":"auth","token":{text},"x":"\\ud800"}}',
        "large number": f'{{"type":"auth","token":{text},"x":{"9" * 400}}}',
        "1e999": f'{{"type":"auth","token":{text},"x":1e999}}',
        "deep": f'{{"type":"auth","token":{text},"x":{"[" * 300}{"]" * 300}}}',
        "upper case": f'{{"TYPE":"auth","token":{text}}}',
        "space": f' \t\n{{"type":"auth","token":{text}}}\n ',
        "form feed": f'\f{{"type":"auth","token":{text}}}',
    }


async def test_a_logged_out_token_passes_neither_plain_nor_disguised(
    embedded: EmbeddedStack, gateway: httpx2.AsyncClient
) -> None:
    user = await register(gateway)
    token = user.tokens["access_token"]
    assert await frame_outcome(embedded.url, disguised(token)["plain"]) == "ready"
    form = {"token": user.tokens["refresh_token"]}
    assert (await gateway.post("/api/v1/auth/revoke", data=form)).status_code == httpx2.codes.OK

    async def ended() -> bool:
        return (await user.request("GET", PATH)).status_code == httpx2.codes.UNAUTHORIZED

    await eventually(ended, within=20)
    frames = disguised(token)
    outcomes = {name: await frame_outcome(embedded.url, frame) for name, frame in frames.items()}
    outcomes["subprotocol"] = await offer_outcome(embedded.url, token)
    print(f"\nrevoked token: {len(outcomes)} attempts over the WebSocket, {dict(Counter(outcomes.values()))}")
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in ("4400", "4401", "401", "403")} == {}
