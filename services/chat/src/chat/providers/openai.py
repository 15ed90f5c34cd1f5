"""Any OpenAI-compatible server over HTTP: one call, streamed, with a time limit on every wait."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import orjson
import structlog

from chat.catalogue import Target
from chat.errors import ProviderFailure, ProviderTimeout, ProviderUnavailable
from chat.ports import Piece, Prompt
from chat.providers.chunks import StreamedError, pieces
from chat.providers.failures import Attempt, from_status
from chat.providers.sse import EventParser, MalformedStream
from chat.settings import OPENAI

log = structlog.get_logger()

DONE = "[DONE]"
CONNECT_TIMEOUT = 5.0
ERROR_BODY_LIMIT = 65_536
CHUNK_SIZE = 65_536
OK = 200


class OpenAIProvider:
    """The Provider for one target; the session's time limit holds between two pieces."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, *, first_byte: float) -> None:
        """Take the seconds to wait for the answer's head."""
        self._session, self._target, self._first_byte = session, target, first_byte

    async def stream(self, provider_model: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Yield the answer piece by piece.

        Raises Attempt when nothing has come yet, ProviderFailure afterwards. Closing it ends the call.
        """
        response = await self._post(provider_model, prompt)
        began = False
        try:
            async with contextlib.aclosing(self._read(response)) as found:
                async for piece in found:
                    began = True
                    yield piece
        except ProviderFailure as failure:
            if began:
                raise
            # What was promised never came: the same call may well succeed, but not after a silence.
            raise Attempt(failure, retryable=not isinstance(failure, ProviderTimeout)) from failure
        finally:
            response.close()

    async def _post(self, provider_model: str, prompt: Prompt) -> aiohttp.ClientResponse:
        url, body = f"{self._target.base_url}/chat/completions", self._body(provider_model, prompt)
        try:
            async with asyncio.timeout(self._first_byte):
                response = await self._session.post(url, data=body, headers=self._headers(), allow_redirects=False)
        except aiohttp.ConnectionTimeoutError as error:
            raise Attempt(ProviderTimeout(), retryable=True) from error
        except TimeoutError as error:
            raise Attempt(ProviderTimeout(), retryable=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Attempt(ProviderUnavailable(), retryable=True) from error
        if response.status != OK:
            raise await self._refused(response)
        return response

    async def _refused(self, response: aiohttp.ClientResponse) -> Attempt:
        body: Any = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                body = orjson.loads(await response.content.read(ERROR_BODY_LIMIT))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            body = None
        finally:
            response.close()
        log.warning("provider refused", status=response.status, host=response.url.host)
        return from_status(response.status, response.headers, body)

    async def _read(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Piece, None]:
        ended, parser = False, EventParser()
        try:
            while chunk := await response.content.readany():
                for event in parser.feed(chunk):
                    if event == DONE:
                        if not ended:
                            yield Piece(finish_reason="stop")
                        return
                    for piece in pieces(event):
                        ended = ended or piece.finish_reason is not None
                        yield piece
        except TimeoutError as error:
            raise ProviderTimeout from error
        except (aiohttp.ClientError, OSError, MalformedStream, StreamedError) as error:
            log.warning("provider stream broken", reason=type(error).__name__)
            raise ProviderFailure from error
        if not ended:
            raise ProviderFailure

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._target.api_key:
            headers["Authorization"] = f"Bearer {self._target.api_key}"
        return headers

    def _body(self, provider_model: str, prompt: Prompt) -> bytes:
        # OpenAI's newer models refuse the old name, other servers do not know the new one.
        limit = "max_completion_tokens" if self._target.base_url == OPENAI else "max_tokens"
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


@contextlib.asynccontextmanager
async def open_session(max_connections: int, *, idle: float) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connection pool to all providers; ``idle`` is how many seconds one may say nothing.

    It follows no proxy of the environment and keeps no cookies.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=idle),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=CHUNK_SIZE,
    ) as session:
        yield session
