"""Event streams that another replica continues."""

import asyncio
from typing import cast

import pytest

from gateway.errors import ClientDisconnected
from gateway.proxy.event_relaying import EventRelay
from gateway.proxy.forwarding import ForwardedRequest
from gateway.server.request_cycle import RequestCycle
from gateway_testing.event_streams import (
    END,
    EVENT_STREAM,
    OPENAI,
    RESUMABLE,
    STREAM,
    FakeClient,
    FakeCycle,
    chunk,
    event,
    forwarded,
    relaying,
    replies,
)
from gateway_testing.fakes import make_request
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, Responder, respond, scripted_server


async def test_another_replica_continues_a_broken_stream_behind_the_last_whole_event(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(replies(event(5), event(6))) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3) + event(4) + b"id: 5\ndata: {"))
        request.connection.connection_lost(None)
        async with relaying(relay, request, client):
            pass
        (seen,) = other.journal
    assert client.body == b"".join(map(event, (3, 4, 5, 6)))
    assert client.complete
    assert (seen.method, seen.target) == ("GET", "/turns/7/stream?after=2")
    assert (seen.header("last-event-id"), seen.header("x-parley-resumes")) == ("4", "1")


async def test_a_stream_that_broke_before_its_first_event_continues_at_the_cursor_of_the_client(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(replies(event(3))) as other:
        request = forwarded(other, data=RESUMABLE % b"3")
        request.connection.connection_lost(None)
        async with relaying(relay, request, client):
            pass
        assert other.journal[0].header("last-event-id") is None
    assert client.body == event(3)


async def test_a_stream_without_ids_continues_after_the_number_of_its_events(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(replies(b"data: c\n\n", b"data: [DONE]\n\n")) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(b"data: a\n\n: ping\ndata: b\n\ndata: "))
        request.connection.connection_lost(None)
        async with relaying(relay, request, client, OPENAI):
            pass
        assert other.journal[0].header("last-event-id") == "2"
    assert client.body == b"data: a\n\n: ping\ndata: b\n\ndata: c\n\ndata: [DONE]\n\n"


async def test_a_replica_that_misses_its_pings_is_given_up(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(replies(event(4))) as other:
        request = forwarded(other, data=RESUMABLE % b"0.001" + chunk(event(3) + b": ping\n\n"))
        async with relaying(relay, request, client):
            await eventually(lambda: request.connection.deadline < float("inf"))
            await _pass_deadline(request)
    assert client.body == event(3) + b": ping\n\n" + event(4)


async def _pass_deadline(request: ForwardedRequest) -> None:
    """Enforce the deadline of the connection, which the pool of production does for the connections it made."""
    request.endpoint.connections.add(request.connection)

    def lost() -> bool:
        request.pool.enforce_deadlines()
        return request.endpoint.host == "127.0.0.1"

    await eventually(lost)


async def test_a_replica_asks_to_continue_its_stream_elsewhere(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(replies(event(4))) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3) + b": moved\n\n") + END)
        failures = request.endpoint.failures
        async with relaying(relay, request, client):
            pass
        assert request.endpoint.failures == failures, "it is no failure of the replica"
    assert client.body == event(3) + event(4)


async def test_a_move_alone_writes_no_part_which_would_end_the_response(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(replies(event(4))) as other:
        moving = forwarded(other, data=RESUMABLE % b"3" + chunk(b": moved\n\n") + END)
        request, cycle = make_request(), FakeCycle()
        request.cycle = cast("RequestCycle", cycle)
        await relay.relay(request, STREAM, moving, [], client.send)
        moving.pool.close()
    assert cycle.parts == [event(4)]


@pytest.mark.parametrize("cut", [len(b": moved\n"), len(b": move")])
async def test_a_move_may_arrive_in_two_parts(relay: EventRelay, client: FakeClient, cut: int) -> None:
    move = b": moved\n\n"
    async with scripted_server(replies(event(4))) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3) + move[:cut]))
        async with relaying(relay, request, client):
            await eventually(lambda: client.body)
            request.connection.data_received(chunk(move[cut:]) + END)
    # A slow machine takes the pause between the parts for a lost replica, and pings while it asks the other one.
    assert client.body.replace(b": ping\n\n", b"") == event(3) + event(4)


async def test_a_replica_that_cannot_continue_the_stream_yet_is_asked_again(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(respond(503)) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        async with relaying(relay, request, client):
            await eventually(lambda: other.journal)
            other.answer = replies(event(4))
    assert client.body.replace(b": ping\n\n", b"") == event(3) + event(4)


@pytest.mark.parametrize("answer", [respond(503), respond(404)])
async def test_a_stream_that_nobody_continues_ends_with_its_cursor(
    impatient: EventRelay, client: FakeClient, answer: Responder
) -> None:
    async with scripted_server(answer) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        async with relaying(impatient, request, client):
            pass
    final = b'event: interrupted\ndata: {"code":"upstream_error","last_event_id":"3"}\n\n'
    assert client.body.replace(b": ping\n\n", b"") == event(3) + final


async def test_replicas_that_break_off_without_a_new_event_are_given_up(
    impatient: EventRelay, client: FakeClient
) -> None:
    async def break_off(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + chunk(b": ping\n\n"))
        await writer.drain()
        writer.transport.abort()

    async with scripted_server(break_off) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        async with relaying(impatient, request, client):
            pass
        assert len(other.journal) > 1
    assert client.body.endswith(b'"last_event_id":"3"}\n\n')


async def test_a_client_that_leaves_ends_the_attempts(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(respond(503)) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        task = asyncio.create_task(relay.relay(make_request(), STREAM, request, [], client.send))
        await eventually(lambda: other.journal)
        request.end(ClientDisconnected())
        with pytest.raises(ClientDisconnected):
            await task
        request.pool.close()
    assert not client.complete
