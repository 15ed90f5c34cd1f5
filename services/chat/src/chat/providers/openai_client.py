"""Streaming client of OpenAI-compatible servers, with a timeout on every wait."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import aiohttp
import orjson
import structlog

from chat.catalogue import Target
from chat.errors import ProviderFailure, ProviderTimeout, ProviderUnavailable
from chat.generation import AnswerChunk, Prompt
from chat.providers.chunks import StreamedError, parse_chunk
from chat.providers.failures import AttemptFailed, from_status
from chat.providers.sse_parser import MalformedStream, SseParser
from chat.settings import OPENAI_BASE_URL
from parley.process.timeouts import IdleTimer

log = structlog.get_logger()

DONE_MARKER = b"[DONE]"
CONNECT_TIMEOUT = 5.0
ERROR_BODY_LIMIT = 65_536
READ_BUFFER_SIZE = 65_536
OK = 200


class OpenAIProvider:
    """Client of one target."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, *, timeout: float) -> None:
        """Set the timeouts in seconds for the response head and for any silence after it."""
        self._session, self._target, self._timeout = session, target, timeout

    async def stream(self, provider_model: str, prompt: Prompt) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Yield the answer in batches of chunks.

        Raises AttemptFailed before the first chunk and ProviderFailure afterwards. Closing the generator ends the call.
        """
        response = await self._post(provider_model, prompt)
        answer = _ResponseReader(response, self._timeout)
        started = False
        try:
            while chunks := await answer.read():
                started = True
                yield chunks
        except ProviderFailure as failure:
            if started:
                raise
            # The stream broke before its first chunk: a retry may succeed, except after a timeout.
            raise AttemptFailed(failure, retryable=not isinstance(failure, ProviderTimeout)) from failure
        finally:
            answer.close()

    async def _post(self, provider_model: str, prompt: Prompt) -> aiohttp.ClientResponse:
        url, body = f"{self._target.base_url}/chat/completions", self._body(provider_model, prompt)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._session.post(url, data=body, headers=self._headers(), allow_redirects=False)
        except aiohttp.ConnectionTimeoutError as error:
            raise AttemptFailed(ProviderTimeout(), retryable=True) from error
        except TimeoutError as error:
            raise AttemptFailed(ProviderTimeout(), retryable=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise AttemptFailed(ProviderUnavailable(), retryable=True) from error
        if response.status != OK:
            raise await self._refused(response)
        return response

    async def _refused(self, response: aiohttp.ClientResponse) -> AttemptFailed:
        body: Any = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                body = orjson.loads(await response.content.read(ERROR_BODY_LIMIT))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            body = None
        finally:
            response.close()
        log.warning("provider_request_failed", status=response.status, host=response.url.host)
        return from_status(response.status, response.headers, body)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._target.api_key:
            headers["Authorization"] = f"Bearer {self._target.api_key}"
        return headers

    def _body(self, provider_model: str, prompt: Prompt) -> bytes:
        # OpenAI's newer models reject max_tokens; other servers do not support max_completion_tokens.
        limit = "max_completion_tokens" if self._target.base_url == OPENAI_BASE_URL else "max_tokens"
        body: dict[str, Any] = {
            **(prompt.options or {}),
            "model": provider_model,
            "messages": list(prompt.messages),
            limit: prompt.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
        return orjson.dumps(body)


class _ResponseReader:
    """Reader of a response; no silence may last longer than ``idle`` seconds."""

    def __init__(self, response: aiohttp.ClientResponse, idle: float) -> None:
        self._response, self._parser = response, SseParser()
        self._idle_timer = IdleTimer(idle, lambda: response.content.set_exception(TimeoutError()))
        self._finished = self._complete = False
        self._failure: Exception | None = None

    async def read(self) -> list[AnswerChunk]:
        """Return the next chunks, or an empty list at the end; raises ProviderFailure."""
        found: list[AnswerChunk] = []
        try:
            while not found and not self._complete:
                if self._failure is not None:
                    raise self._failure
                found = self._parse(await self._response.content.readany())
        except TimeoutError as error:
            raise ProviderTimeout from error
        except (aiohttp.ClientError, OSError, MalformedStream, StreamedError) as error:
            log.warning("provider_stream_broken", reason=type(error).__name__)
            raise ProviderFailure from error
        return found

    def _parse(self, received: bytes) -> list[AnswerChunk]:
        self._idle_timer.touch()
        if not received and not self._finished:
            raise ProviderFailure
        self._complete = not received
        found: list[AnswerChunk] = []
        try:
            for event in self._parser.feed(received):
                if event == DONE_MARKER:
                    self._complete = True
                    return found if self._finished else [*found, AnswerChunk(finish_reason="stop")]
                found += parse_chunk(event)
                self._finished = self._finished or any(chunk.finish_reason for chunk in found)
        except (MalformedStream, StreamedError) as error:
            self._failure = error  # raised by the next read, after the chunks before it
        return found

    def close(self) -> None:
        """Close the connection."""
        self._idle_timer.stop()
        self._response.close()


@contextlib.asynccontextmanager
async def open_session(max_connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connection pool for all providers, without environment proxies and cookies."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=READ_BUFFER_SIZE,
    ) as session:
        yield session
