"""One provider for the whole run. Tests set knobs with markers, so they do not affect each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import httpx2
import orjson
import pytest

from fake_provider.process import FakeProvider

if TYPE_CHECKING:
    import openai

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as running:
        yield running


@pytest.fixture
async def own_provider() -> AsyncIterator[FakeProvider]:
    """A provider that the test may script, change and kill."""
    async with FakeProvider() as running:
        yield running


@pytest.fixture(scope="session")
async def http_client(provider: FakeProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=provider.url, timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
async def openai_client(provider: FakeProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    import openai

    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="sk-secret", max_retries=0) as client:
        yield client


@pytest.fixture
def ask(http_client: httpx2.AsyncClient) -> Ask:
    """Send one user message and read the whole response."""

    async def send(message: str, **members: object) -> httpx2.Response:
        body = {"model": "fake", "messages": [{"role": "user", "content": message}], **members}
        return await http_client.post("/v1/chat/completions", json=body)

    return send


@pytest.fixture
async def open_call(provider: FakeProvider) -> AsyncIterator[Callable[..., Awaitable[Streams]]]:
    """Send one call over a bare socket and leave the answer to the test."""
    opened: list[asyncio.StreamWriter] = []

    async def open_one(message: str, *, stream: bool = True, key: str = "sk-secret") -> Streams:
        body = orjson.dumps({"model": "fake", "stream": stream, "messages": [{"role": "user", "content": message}]})
        reader, writer = await asyncio.open_connection("127.0.0.1", int(provider.url.rpartition(":")[2]))
        opened.append(writer)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {key}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        return reader, writer

    yield open_one
    for writer in opened:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
def read_raw(open_call: Callable[..., Awaitable[Streams]]) -> Callable[..., Awaitable[tuple[bytes, OSError | None]]]:
    """Send one call over a bare socket; return every byte of the answer and how the connection broke."""

    async def read(message: str, **how: object) -> tuple[bytes, OSError | None]:
        reader, writer = await open_call(message, **how)
        received = bytearray()
        try:
            async with asyncio.timeout(10):
                while part := await reader.read(65_536):
                    received += part
        except ConnectionError as error:
            return bytes(received), error
        finally:
            writer.close()
        return bytes(received), None

    return read
