"""The server: uvicorn without signal handlers, and graceful shutdown."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from parley.config.settings import ServiceSettings, load
from parley.web.lifecycle import Lifecycle
from parley.web.server import (
    ACCEPTED_AT_ONCE,
    MIN_DRAIN_SECONDS,
    UvicornServer,
    drain,
    free_socket,
    make_server,
    run_process,
    serve,
)
from parley.web.service_protocol import ServiceHttpProtocol
from parley_testing import eventually
from parley_testing.telemetry.captured_logs import captured_logs
from parley_testing.virtual_time import virtual_time

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class WebSocketSettings(ServiceSettings):
    speaks_websocket = True


def settings(drain_timeout: float = 5, drain_delay: float = 0) -> ServiceSettings:
    return load(ServiceSettings, admin_port=0, drain_delay=drain_delay, drain_timeout=drain_timeout)


async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[UvicornServer, int]]:
    server, bound = make_server(app, settings()), free_socket()
    serving = asyncio.create_task(server.serve([bound]))
    try:
        await eventually(lambda: server.started)
        yield server, bound.getsockname()[1]
    finally:
        server.should_exit = True
        async with asyncio.timeout(30):
            await serving
        bound.close()


def server_with_connections(count: int) -> UvicornServer:
    server = make_server(app, settings())
    server.server_state.connections = {cast("HttpToolsProtocol", object()) for _ in range(count)}
    return server


async def test_an_open_connection_is_served_at_the_beginning_of_a_drain() -> None:
    async with running() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: server.server_state.connections)
        draining = asyncio.create_task(drain(server, Lifecycle(), settings()))
        writer.write(REQUEST)
        assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
        assert not server.should_exit
        await draining
        assert server.should_exit
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@virtual_time
async def test_a_drain_without_connections_ends_at_once() -> None:
    server = server_with_connections(0)
    await drain(server, Lifecycle(), settings())
    assert server.should_exit
    assert asyncio.get_running_loop().time() == 0


@virtual_time
async def test_a_drain_with_an_idle_connection_takes_the_minimum_time() -> None:
    await drain(server_with_connections(1), Lifecycle(), settings())
    assert asyncio.get_running_loop().time() == pytest.approx(MIN_DRAIN_SECONDS)


@virtual_time
async def test_a_drain_waits_for_open_requests_until_its_timeout() -> None:
    lifecycle = Lifecycle()
    lifecycle.begin_request()
    await drain(server_with_connections(1), lifecycle, settings(drain_timeout=5, drain_delay=1))
    assert asyncio.get_running_loop().time() == pytest.approx(1 + 5)


@virtual_time
async def test_the_minimum_time_is_part_of_the_drain_timeout() -> None:
    lifecycle = Lifecycle()
    lifecycle.begin_request()
    await drain(server_with_connections(1), lifecycle, settings(drain_timeout=MIN_DRAIN_SECONDS))
    assert asyncio.get_running_loop().time() == pytest.approx(MIN_DRAIN_SECONDS)


@contextlib.asynccontextmanager
async def serving(lifecycle: Lifecycle) -> AsyncIterator["asyncio.Task[None]"]:
    """Serve until a signal; the context ends when the server has stopped."""

    async def app_with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    with free_socket() as bound:
        task = asyncio.create_task(serve(app_with_lifespan, lifecycle, settings(drain_timeout=3600), [bound]))
        try:
            await eventually(lambda: lifecycle.state == "ready")
            yield task
            async with asyncio.timeout(30):
                await task
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)


async def test_a_signal_drains_and_stops_the_server() -> None:
    lifecycle = Lifecycle()
    async with serving(lifecycle) as task:
        lifecycle.begin_request()
        signal.raise_signal(signal.SIGTERM)
        await eventually(lambda: lifecycle.state == "draining")
        assert not task.done()
        lifecycle.end_request()


async def test_a_second_signal_stops_the_server_despite_open_requests() -> None:
    lifecycle = Lifecycle()
    async with serving(lifecycle):
        lifecycle.begin_request()
        signal.raise_signal(signal.SIGTERM)
        await eventually(lambda: lifecycle.state == "draining")
        signal.raise_signal(signal.SIGTERM)
    assert lifecycle.open_requests == 1


async def test_uvicorn_still_lets_a_server_run_without_signal_handlers() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with running():
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_uvicorn_still_has_the_protocols_that_are_named_in_its_configuration() -> None:
    config = make_server(app, load(WebSocketSettings, admin_port=0)).config
    config.load()
    assert config.http_protocol_class is ServiceHttpProtocol
    assert config.ws_protocol_class is not None
    assert "SansIO" in config.ws_protocol_class.__name__


async def test_a_signal_ends_a_start_that_still_waits() -> None:
    began, closed = asyncio.Event(), asyncio.Event()

    async def waiting(_scope: Scope, _receive: Receive, _send: Send) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    task = asyncio.create_task(serve(waiting, Lifecycle(), settings()))
    async with asyncio.timeout(30):
        await began.wait()
        signal.raise_signal(signal.SIGTERM)
        await task
    assert closed.is_set()


async def test_a_cancellation_that_no_signal_caused_is_passed_on() -> None:
    async def waiting(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(serve(waiting, Lifecycle(), settings()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_waiting_connections_are_accepted_in_few_iterations_of_the_loop() -> None:
    async def iterations_to_accept(count: int) -> int:
        loop, found = asyncio.get_running_loop(), 0

        def count_iteration() -> None:
            nonlocal found
            if len(server.server_state.connections) < count:
                found += 1
                loop.call_soon(count_iteration)

        async with running() as (server, port):
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
            count_iteration()
            await eventually(lambda: len(server.server_state.connections) == count)
            for client in clients:
                client.close()
        return found

    waiting = 4 * ACCEPTED_AT_ONCE
    assert uvloop.run(iterations_to_accept(waiting)) < waiting / 2


def test_a_failed_start_is_one_log_line_with_a_reason() -> None:
    async def fail() -> None:
        raise TimeoutError

    with captured_logs() as logs:
        assert run_process(fail(), settings()) == 1
    assert [(line["event"], line["reason"]) for line in logs] == [("start_failed", "TimeoutError")]
