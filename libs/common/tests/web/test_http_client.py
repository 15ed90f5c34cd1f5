"""HTTP client for calls between services."""

import socket
import ssl
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from parley.web.http_client import open_client
from parley_testing.http.scripted_server import respond, scripted_server


def context_of(client: httpx2.AsyncClient) -> ssl.SSLContext:
    transport = client._transport
    assert isinstance(transport, httpx2.AsyncHTTPTransport)
    context = transport._pool._ssl_context
    assert isinstance(context, ssl.SSLContext)
    return context


async def test_the_clients_of_a_process_load_the_trusted_certificates_once() -> None:
    async with AsyncExitStack() as stack:
        first, second = [context_of(await stack.enter_async_context(open_client())) for _ in range(2)]
    assert first is second
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname


async def test_a_connection_whose_name_was_not_found_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_server(respond(200)) as server, open_client() as client:
        host, port = server.url.removeprefix("http://").rsplit(":", 1)
        found, lookups = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM), 0

        def look_up(*_args: Any, **_options: Any) -> Any:
            nonlocal lookups
            lookups += 1
            if lookups == 1:
                raise socket.gaierror(socket.EAI_AGAIN, "no reply")
            return found

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert (await client.get(f"http://auth:{port}/")).status_code == httpx2.codes.OK
    assert lookups == 2
