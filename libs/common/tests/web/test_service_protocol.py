"""Connections to services: bounded heads, problems as refusals, and deadlines for what a client owes."""

import asyncio

import orjson
import pytest

from parley.errors import HeadersTooLarge
from parley.web.http_protocol import MAX_HEAD_FIELDS
from parley.web.service_protocol import BODY_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT
from parley_testing import eventually
from parley_testing.http.protocol_service import REQUEST, open_service


async def response(reader: asyncio.StreamReader) -> None:
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")


async def test_a_connection_without_a_request_is_closed() -> None:
    async with open_service() as (app, _, _):
        assert not app.late(HEAD_TIMEOUT - 1)
        assert app.late(HEAD_TIMEOUT)


@pytest.mark.parametrize("part", [REQUEST[:20], b"\r\n\r\n"])
async def test_a_head_that_does_not_end_is_closed_after_its_time(part: bytes) -> None:
    async with open_service() as (app, _, writer):
        writer.write(part)
        await eventually(lambda: app.connections[0].head_bytes)
        assert not app.late(HEAD_TIMEOUT - 1)
        assert app.late(HEAD_TIMEOUT)


async def test_blank_lines_between_requests_do_not_keep_a_connection_open() -> None:
    async with open_service() as (app, reader, writer):
        writer.write(REQUEST)
        await response(reader)
        writer.write(b"\r\n")
        await eventually(lambda: app.connections[0].head_bytes)
        assert not app.late(IDLE_TIMEOUT - 1)
        assert app.late(IDLE_TIMEOUT)


async def test_a_body_that_stops_is_closed() -> None:
    async with open_service() as (app, _, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        await eventually(lambda: app.connections[0].heads)
        assert not app.late(BODY_TIMEOUT - 1)
        assert app.late(BODY_TIMEOUT)


async def test_a_request_may_take_as_long_as_the_service_needs() -> None:
    async with open_service() as (app, reader, writer):
        app.gate.clear()
        writer.write(REQUEST)
        await eventually(lambda: app.headers)
        assert not app.late(100_000)
        app.gate.set()
        await response(reader)
        writer.write(REQUEST)
        await response(reader)


async def test_a_request_that_waited_may_take_as_long_as_the_service_needs() -> None:
    async with open_service() as (app, reader, writer):
        app.gate.clear()
        writer.write(REQUEST * 2)
        await eventually(lambda: app.headers)
        app.gate.set()
        app.gate = asyncio.Event()
        await response(reader)
        await eventually(lambda: len(app.headers) == 2)
        assert not app.late(IDLE_TIMEOUT)
        app.gate.set()
        await response(reader)
        assert app.late(IDLE_TIMEOUT)


async def test_a_head_that_is_not_read_because_earlier_requests_wait_is_not_late() -> None:
    async with open_service() as (app, reader, writer):
        app.gate.clear()
        writer.write(REQUEST)
        await eventually(lambda: app.headers)
        writer.write(REQUEST + REQUEST[:20])
        await eventually(lambda: app.connections[0].flow.read_paused and app.connections[0].head_bytes)
        assert not app.late(HEAD_TIMEOUT * 2)
        app.gate.set()
        await response(reader)
        await eventually(lambda: not app.connections[0].flow.read_paused)
        assert not app.late(HEAD_TIMEOUT / 2)
        assert app.late(HEAD_TIMEOUT * 3)


async def test_a_client_that_leaves_while_its_requests_wait_is_noticed() -> None:
    async with open_service() as (app, _, writer):
        app.gate.clear()
        writer.write(REQUEST * 40)
        await eventually(lambda: app.connections[0].flow.read_paused)
        writer.transport.abort()

        def noticed() -> bool:
            app.connections[0].check_deadline()
            return app.connections[0].transport.is_closing()

        await eventually(noticed)


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * (MAX_HEAD_FIELDS + 1), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 200_000, 431, "headers_too_large"),
        (b"GET /" + b"a" * 200_000, 431, "headers_too_large"),
        (b"rubbish\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 400, "invalid_request"),
    ],
    ids=["fields", "value", "target", "rubbish", "version"],
)
async def test_heads_that_are_too_large_or_invalid_get_a_problem(head: bytes, status: int, code: str) -> None:
    async with open_service() as (app, reader, writer):
        writer.write(head)
        found, body = (await reader.read()).split(b"\r\n\r\n", 1)
        assert found.startswith(b"HTTP/1.1 %d " % status)
        assert b"content-type: application/problem+json" in found
        assert orjson.loads(body)["code"] == code
        assert app.headers == []


async def test_trailers_are_ignored() -> None:
    async with open_service() as (app, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-user: root\r\n\r\n")
        await response(reader)
        assert b"x-user" not in app.headers[0]


async def test_endless_trailers_are_rejected() -> None:
    async with open_service() as (app, _, writer):
        app.gate.clear()
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-long: ")
        await eventually(lambda: app.connections[0].heads)
        writer.write(b"a" * 1_000_000)
        await eventually(lambda: app.connections[0].rejection)
        assert isinstance(app.connections[0].rejection, HeadersTooLarge)
