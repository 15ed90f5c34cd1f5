"""Open streams: limits, and their end on revocation and shutdown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import pytest

from gateway.access.streams import OpenStream, OpenStreams
from gateway.errors import StreamTerminated, TooManyStreams
from gateway_testing.fakes import FakeStreamLeases, make_caller
from parley.errors import Overloaded
from parley.ratelimit.limiter import TokenSession
from parley.web.lifecycle import Lifecycle
from parley_testing import eventually


async def none_revoked(_sessions: Sequence[TokenSession]) -> set[TokenSession]:
    return set()


def streams_of(leases: FakeStreamLeases, limit: int = 10) -> OpenStreams:
    return OpenStreams(none_revoked, leases, limit=limit)


@contextlib.asynccontextmanager
async def running(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(loop)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_user_may_open_as_many_streams_as_the_plan_allows() -> None:
    leases = FakeStreamLeases()
    streams, ada, bob = streams_of(leases), make_caller(max_streams=1), make_caller(max_streams=1)
    async with streams.reserve(ada), streams.reserve(bob):
        with pytest.raises(TooManyStreams):
            async with streams.reserve(ada):
                pass
    async with streams.reserve(ada):
        assert len(leases.held) == 1
    assert not leases.held


async def test_streams_of_other_processes_count() -> None:
    caller = make_caller()
    leases = FakeStreamLeases({f"lease-{number}": caller.user for number in range(caller.max_streams)})
    streams = streams_of(leases)
    for _ in range(2):
        with pytest.raises(TooManyStreams, match="At most 20 streams"):
            async with streams.reserve(caller):
                pass
    await leases.release("lease-0")
    async with streams.reserve(caller):
        pass


async def test_a_process_has_a_limit_of_its_own() -> None:
    streams = streams_of(FakeStreamLeases(), limit=2)
    async with streams.reserve(None), streams.reserve(make_caller()):
        with pytest.raises(Overloaded):
            async with streams.reserve(None):
                pass
    async with streams.reserve(None):
        pass


async def test_a_stream_of_a_revoked_session_is_ended() -> None:
    ada, bob = make_caller(), make_caller()

    async def ada_revoked(_sessions: Sequence[TokenSession]) -> set[TokenSession]:
        return {ada.session}

    streams = OpenStreams(ada_revoked, FakeStreamLeases(), limit=10)
    ended: list[tuple[str, str]] = []

    def open_stream(name: str, session: TokenSession | None) -> OpenStream:
        return OpenStream(session, endless=False, end=lambda reason: ended.append((name, reason.event)))

    with (
        streams.watch(open_stream("ada", ada.session)),
        streams.watch(open_stream("bob", bob.session)),
        streams.watch(open_stream("anonymous", None)),
    ):
        assert streams.count == 3
        async with running(streams.end_revoked()):
            await eventually(lambda: ended)
    assert ended == [("ada", "session_revoked")]
    assert streams.count == 0


@pytest.mark.parametrize("first", ["before", "after"])
async def test_of_one_session_only_the_stream_with_a_revoked_token_is_ended(first: str) -> None:
    issued = {"before": 1000, "after": 2000}
    sessions = {name: TokenSession("s1", "ada", at) for name, at in issued.items()}

    async def issued_before(found: Sequence[TokenSession]) -> set[TokenSession]:
        return {session for session in found if session.issued_at <= 1500}

    streams, ended = OpenStreams(issued_before, FakeStreamLeases(), limit=10), list[str]()

    def open_stream(name: str) -> OpenStream:
        return OpenStream(sessions[name], endless=True, end=lambda _: ended.append(name))

    with contextlib.ExitStack() as watched:
        for name in sorted(sessions, key=lambda name: name != first):
            watched.enter_context(streams.watch(open_stream(name)))
        async with running(streams.end_revoked()):
            await eventually(lambda: ended)
    assert set(ended) == {"before"}


async def test_a_shutdown_ends_endless_streams_first_and_the_others_in_time() -> None:
    streams, lifecycle = streams_of(FakeStreamLeases()), Lifecycle()
    ended: list[str] = []

    def record(name: str, reason: StreamTerminated) -> None:
        if name not in ended:
            ended.append(name)
        assert (reason.event, reason.data) == ("draining", {"retry_after_ms": 500})

    with (
        streams.watch(OpenStream(None, endless=False, end=lambda reason: record("turn", reason))),
        streams.watch(OpenStream(None, endless=True, end=lambda reason: record("feed", reason))),
    ):
        async with running(streams.end_on_shutdown(lifecycle, delay=0.0, timeout=1.2)):
            lifecycle.start_draining()
            await eventually(lambda: len(ended) == 2)
    assert ended == ["feed", "turn"]
