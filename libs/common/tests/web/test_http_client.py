"""HTTP client for calls between services."""

import ssl
from contextlib import AsyncExitStack

import httpx2

from parley.web.http_client import open_client


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
