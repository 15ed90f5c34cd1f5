"""Credentials of WebSockets in frames, and sessions that end while the WebSocket is open."""

import asyncio

import pytest

from gateway_testing.running import RunGateway
from gateway_testing.websocket_echo import auth, chatting, closed, opened, ping, token_of
from parley.ids import new_id
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration


async def revoke(backends: SharedBackends, session: str) -> None:
    async with open_redis(await backends.redis_url(), timeout=20) as redis:
        await redis.set(f"parley:revoked:{session}", 1, ex=60)


async def test_a_crafted_auth_frame_of_a_revoked_session_is_not_relayed(
    run_gateway: RunGateway, backends: SharedBackends
) -> None:
    session = str(new_id())
    await revoke(backends, session)
    async with chatting(run_gateway) as (gateway, chat):
        token = token_of(gateway, sid=session)
        for crafted in (
            f'{{"type":"auth","token":"{token}","x":NaN}}',
            f'{{"type":"auth","token":"{token}","type":"x","type":"auth"}}',
            f'{{"type":"x","type":"auth","token":"{token_of(gateway)}","token":"{token}"}}',
        ):
            async with opened(gateway) as socket:
                await socket.send(crafted)
                assert (await closed(socket))[0] == 4400
        assert chat.seen == []


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"sub": "01a200a6-d8e8-77ac-b25c-1d805c924a2c"}, "token_invalid"),
        ({"exp": 1000, "iat": 100}, "token_expired"),
        ({"aud": "another"}, "token_invalid"),
    ],
)
async def test_an_auth_frame_with_an_invalid_token_closes_the_websocket_and_is_not_relayed(
    run_gateway: RunGateway, claims: dict[str, object], reason: str
) -> None:
    async with chatting(run_gateway) as (gateway, chat), opened(gateway, token_of(gateway)) as socket:
        await socket.send(auth(token_of(gateway, **claims)))
        assert await closed(socket) == (4401, reason)
        await eventually(lambda: chat.open == 0)
        assert chat.seen == []


@pytest.mark.parametrize("first", [False, True])
async def test_an_auth_frame_of_a_revoked_session_closes_the_websocket(
    run_gateway: RunGateway, backends: SharedBackends, first: bool
) -> None:
    session = str(new_id())
    await revoke(backends, session)
    async with (
        chatting(run_gateway) as (gateway, chat),
        opened(gateway, None if first else token_of(gateway)) as socket,
    ):
        await socket.send(auth(token_of(gateway, sid=session)))
        assert await closed(socket) == (4401, "session_revoked")
        assert chat.seen == []


@pytest.mark.parametrize("by_frame", [False, True])
async def test_an_open_websocket_of_a_revoked_session_is_closed(
    run_gateway: RunGateway, backends: SharedBackends, by_frame: bool
) -> None:
    session = str(new_id())
    async with chatting(run_gateway) as (gateway, chat):
        token = token_of(gateway, sid=session)
        async with opened(gateway, None if by_frame else token) as socket:
            if by_frame:
                await socket.send(auth(token))
                await socket.recv()
            await eventually(lambda: chat.open == 1)
            await revoke(backends, session)
            assert await closed(socket) == (4401, "session_revoked")
            await eventually(lambda: chat.open == 0)


async def test_a_renewed_websocket_outlives_its_first_session(
    run_gateway: RunGateway, backends: SharedBackends
) -> None:
    before = str(new_id())
    async with chatting(run_gateway) as (gateway, _), opened(gateway, token_of(gateway, sid=before)) as socket:
        await socket.send(auth(token_of(gateway)))
        await socket.recv()
        await revoke(backends, before)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 2)
        await socket.send(ping("still there"))
        assert await socket.recv() == ping("still there")


async def test_a_websocket_authenticated_by_a_frame_counts_as_a_stream_of_the_user(run_gateway: RunGateway) -> None:
    user = str(new_id())
    async with (
        chatting(run_gateway, streams_per_user=1) as (gateway, _),
        opened(gateway) as one,
        opened(gateway) as two,
    ):
        await one.send(auth(token_of(gateway, sub=user)))
        await one.recv()
        await two.send(auth(token_of(gateway, sub=user)))
        assert await closed(two) == (4429, "too_many_streams")
        await one.close()
        async with opened(gateway) as three:
            frame = auth(token_of(gateway, sub=user))
            await three.send(frame)
            assert await three.recv() == frame
