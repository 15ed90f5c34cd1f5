"""Turn logs in Redis: the subscription to cancellations, with a fake server."""

import asyncio
import contextlib
import errno
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.model import LogEntry
from chat.running.turn_log_store import LogStoreUnavailable
from chat.storage.log_format import ENTRY, encode_entry, key_of
from chat.storage.redis_turn_logs import RedisLogStore
from chat.storage.stream_writer import StreamWriter, append_command
from parley.storage.redis import open_redis
from parley.storage.redis_internals import pack
from parley_testing import eventually
from parley_testing.fakes.redis_server import fake_redis_server

NO_TIMEOUT = 30


async def test_a_subscription_on_a_lost_host_ends_and_the_event_loop_goes_on() -> None:
    async with (
        fake_redis_server(lambda _: 1) as server,
        open_redis(server.url, timeout=NO_TIMEOUT) as client,
        open_redis(server.url, timeout=None) as writer,
    ):
        store = RedisLogStore(client, client, StreamWriter(writer, timeout=NO_TIMEOUT))
        async with contextlib.aclosing(store.cancellations()) as found:
            first: asyncio.Task[UUID] = asyncio.ensure_future(anext(found))
            await eventually(lambda: server.subscriptions)
            await asyncio.sleep(0)
            (connection,) = client.connection_pool._in_use_connections
            assert connection._reader is not None
            # What the event loop does when the kernel reports that keepalive probes were lost.
            connection._reader.set_exception(OSError(errno.ETIMEDOUT, "Connection timed out"))
            with pytest.raises(LogStoreUnavailable):
                await first


@given(st.uuids(), st.integers(1, 9), st.integers(1, 10_000), st.text(st.characters(codec="utf-8"), max_size=20))
def test_the_command_of_an_entry_is_what_the_library_makes(turn_id: UUID, epoch: int, seq: int, text: str) -> None:
    key, value = key_of(turn_id), encode_entry(LogEntry(text))
    expected = pack("XADD", key, "NOMKSTREAM", f"{epoch}-{seq}", ENTRY, value)
    assert append_command(key.encode(), b"%d-%d" % (epoch, seq), value) == expected
