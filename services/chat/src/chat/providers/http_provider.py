"""Streaming client of model servers, with a timeout on every wait. Wire formats are their APIs."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
import orjson
import structlog

from chat.catalogue import Target
from chat.errors import ProviderTimeout, ProviderUnavailable
from chat.generation import AnswerChunk, ChunkSink, Prompt
from chat.providers.failures import BAD_REQUEST, AttemptFailed, error_of, from_status
from chat.providers.parsing.chunks import ChunkParser
from chat.providers.parsing.response_reader import ResponseReader
from parley.process.sockets import PEER_TIMEOUT, set_options
from parley.process.timeouts import at_most

log = structlog.get_logger()

CONNECT_TIMEOUT = 5.0
ERROR_BODY_LIMIT = 65_536
READ_BUFFER_SIZE = 65_536
OK = 200
USAGE_OPTION = "stream_options"
"""Asks for the usage. Mistral's API refuses it, and reports the usage without it."""


class WireFormat(Protocol):
    """Requests and answers of one API."""

    @property
    def path(self) -> str:
        """Return the path of a call below the base URL."""
        ...

    def headers(self, target: Target) -> Mapping[str, str]:
        """Return the headers that identify the caller."""
        ...

    def body(self, provider_model: str, prompt: Prompt) -> dict[str, Any]:
        """Return the body of a streamed call."""
        ...

    def parser(self) -> ChunkParser:
        """Return a parser for one answer."""
        ...


class HttpProvider:
    """Client of one target."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        wire_format: WireFormat,
        *,
        timeout: float,
        usage_option_refused: set[str] | None = None,
    ) -> None:
        """Set the timeouts in seconds for the response head and for any silence after it.

        ``usage_option_refused``: base URLs of the servers that are known to refuse the option for the usage.
        """
        self._session, self._target, self._format, self._timeout = session, target, wire_format, timeout
        self._usage_option_refused = set() if usage_option_refused is None else usage_option_refused

    async def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Yield the answer in batches of chunks. Those after the first go to ``sink`` as they arrive, if possible.

        Raises AttemptFailed before the first chunk and ProviderFailure afterwards. Closing the generator ends the call.
        """
        response, parser = await self.post(provider_model, prompt), self._format.parser()
        parser.wants_logprobs = bool((prompt.options or {}).get("logprobs"))
        del prompt  # its images are not held while the answer is streamed
        answer = ResponseReader(response, parser, self._timeout)
        started = False
        try:
            while chunks := await answer.read(sink if started else None):
                started = True
                yield chunks
        except AttemptFailed as failed:
            if started:
                raise failed.failure from failed
            raise
        finally:
            answer.close()

    async def post(self, provider_model: str, prompt: Prompt) -> aiohttp.ClientResponse:
        """Return the response of a call once it has the status 200; raises AttemptFailed."""
        body = self._format.body(provider_model, prompt)
        if self._target.base_url in self._usage_option_refused:
            body.pop(USAGE_OPTION, None)
        response = await self._send(body, prompt)
        if response.status == OK:
            return response
        failed, refused = await self._refused(response)
        if not refused or body.pop(USAGE_OPTION, None) is None:
            raise failed
        response = await self._send(body, prompt)
        if response.status != OK:
            raise (await self._refused(response))[0]
        self._usage_option_refused.add(self._target.base_url)
        return response

    async def _send(self, body: dict[str, Any], prompt: Prompt) -> aiohttp.ClientResponse:
        url, data = self._target.base_url + self._format.path, orjson.dumps(body)
        response: aiohttp.ClientResponse | None = None
        prompt.call.is_open = True
        try:
            async with at_most(self._timeout):
                response = await self._session.post(url, data=data, headers=self._headers(), allow_redirects=False)
        except aiohttp.ConnectionTimeoutError as error:
            raise AttemptFailed(ProviderTimeout(), retryable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise AttemptFailed(ProviderUnavailable(), retryable=True) from error
        if response is None:
            raise AttemptFailed(ProviderTimeout(), retryable=False, server_failed=True)
        return response

    async def _refused(self, response: aiohttp.ClientResponse) -> tuple[AttemptFailed, bool]:
        """Return the failure of a refused call, and whether the reason may be the option for the usage."""
        text = bytearray()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                while part := await response.content.read(ERROR_BODY_LIMIT - len(text)):
                    text += part
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # what has come may be enough
        finally:
            response.close()
        log.warning("provider_request_failed", status=response.status, host=response.url.host)
        failed = from_status(response.status, response.headers, error_of(bytes(text)))
        return failed, response.status in BAD_REQUEST and USAGE_OPTION.encode() in text

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        return {**headers, **self._format.headers(self._target)}


def _keepalive_socket(address: Any) -> socket.socket:
    """Return a socket on which the kernel notices a lost host, although the host may rightly be silent."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    set_options(opened, PEER_TIMEOUT.keepalive())
    return opened


@contextlib.asynccontextmanager
async def open_session(max_connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connection pool for all providers, without environment proxies and cookies."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=30, socket_factory=_keepalive_socket),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=READ_BUFFER_SIZE,
    ) as session:
        yield session
