"""Redis behind Sentinel: the master is asked for at each new connection."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from redis.exceptions import ResponseError

from parley.config.settings import SettingsError
from parley.storage.redis import REDIS_UNAVAILABLE, open_redis
from parley.storage.redis_connection import ServerRefused, refusal_of
from parley.storage.redis_sentinel import parse_sentinel_url
from parley_testing.fakes.redis_server import FakeRedisServer, Reply, fake_redis_server

TIMEOUT = 10.0


@contextlib.asynccontextmanager
async def sentinel(master: Callable[[], int | None]) -> AsyncIterator[FakeRedisServer]:
    """A Sentinel that names a port of 127.0.0.1 as that of the master ``chat``, or knows none."""

    def respond(command: list[bytes]) -> Reply:
        assert command == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"chat"]
        port = master()
        return None if port is None else [b"127.0.0.1", str(port).encode()]

    async with fake_redis_server(respond) as server:
        yield server


async def test_a_demoted_master_is_replaced_by_the_promoted_one() -> None:
    current = 0

    def first(_command: list[bytes]) -> Reply:
        return b"one" if current == 0 else ResponseError("READONLY You can't write against a read only replica.")

    async with (
        fake_redis_server(first) as one,
        fake_redis_server(lambda _command: b"two") as two,
        sentinel(lambda: (one, two)[current].port) as watching,
        open_redis(f"redis+sentinel://ada:secret@127.0.0.1:{watching.port}/chat/0", timeout=TIMEOUT) as redis,
    ):
        assert await redis.get("x") == b"one"
        current = 1
        with pytest.raises(REDIS_UNAVAILABLE):
            await redis.get("x")
        assert await redis.get("x") == b"two"


async def test_the_next_sentinel_is_asked_when_one_is_down_or_knows_no_master() -> None:
    async with (
        fake_redis_server(lambda _command: b"one") as master,
        sentinel(lambda: None) as unaware,
        sentinel(lambda: master.port) as watching,
    ):
        hosts = ",".join(f"127.0.0.1:{port}" for port in (1, unaware.port, watching.port))
        async with open_redis(f"redis+sentinel://{hosts}/chat", timeout=TIMEOUT) as redis:
            assert await redis.get("x") == b"one"


async def test_without_a_sentinel_redis_is_unavailable() -> None:
    async with open_redis("redis+sentinel://127.0.0.1:1/chat", timeout=TIMEOUT) as redis:
        with pytest.raises(REDIS_UNAVAILABLE):
            await redis.get("x")


def test_only_sentinel_urls_are_read_as_such_and_need_a_service() -> None:
    assert parse_sentinel_url("redis://127.0.0.1:6379/0") is None
    found = parse_sentinel_url("rediss+sentinel://u:p@a,b:1/chat/2?ssl_ca_certs=ca.pem&sentinel_password=s")
    assert found is not None
    assert found[0] == "rediss://u:p@sentinel/2?ssl_ca_certs=ca.pem"
    for wrong in ("redis+sentinel://a:1", "redis+sentinel:///chat", "redis+sentinel://a:x/chat"):
        with pytest.raises(SettingsError, match="REDIS_URL"):
            parse_sentinel_url(wrong)


@pytest.mark.parametrize("reply", ["MOVED 3999 127.0.0.1:6381", "CROSSSLOT Keys in request don't hash"])
def test_a_cluster_is_refused_by_name(reply: str) -> None:
    refused = refusal_of(ResponseError(reply))
    assert isinstance(refused, ServerRefused)
    assert "does not support Redis Cluster" in str(refused)
