"""Reader of a provider's response: a stream of events, or a whole completion although a stream was asked for."""

import contextvars
from collections.abc import Iterable

import aiohttp
import structlog

from chat.errors import ProviderFailure, ProviderTimeout
from chat.generation import AnswerChunk, ChunkSink
from chat.providers.aiohttp_internals import reader_of
from chat.providers.failures import AttemptFailed
from chat.providers.parsing.body_parser import BodyParser
from chat.providers.parsing.chunks import ChunkParser, has_entry
from parley.process.timeouts import IdleTimer

log = structlog.get_logger()

DONE_MARKER = b"[DONE]"
TRAILER_TIMEOUT = 5.0
"""Seconds to wait for the usage and the end of the stream after the finish reason."""


class _SilentTooLong(Exception):
    """The end of the wait for the next bytes; a TimeoutError can also be an error of the socket."""


class ResponseReader:
    """Reader of a response; no silence may last longer than ``idle`` seconds.

    After the finish reason the answer is whole: whatever goes wrong then ends the response without a failure.
    """

    def __init__(self, response: aiohttp.ClientResponse, parser: ChunkParser, idle: float) -> None:
        self._response, self._parser, self._idle = response, parser, idle
        self._read = reader_of(response.content).read
        self._body = BodyParser()
        self._idle_timer = self._timer(idle)
        self._ended = self._trailing = False
        self._sink: ChunkSink | None = None
        self._context = contextvars.copy_context()
        self._held: list[AnswerChunk] | None = None
        """Chunks that were received during a wait, which they ended."""
        self._error: Exception | None = None

    async def read(self, sink: ChunkSink | None = None) -> list[AnswerChunk]:
        """Return the next chunks, or an empty list at the end; raises AttemptFailed.

        With a ``sink``, chunks that arrive during the wait may go to it. Those that end the answer do not.
        """
        self._sink = sink
        while not self._ended and self._parser.failure is None:
            received = await self._receive()
            if self._error is not None:
                raise self._error
            found = self._parse(received) if self._held is None else self._held
            self._held = None
            if found:
                return found
        if self._parser.failure is not None:
            raise self._parser.failure
        return []

    async def _receive(self) -> bytes:
        """Return received bytes, or none at the end."""
        try:
            return await self._read(None if self._sink is None else self._push)
        except _SilentTooLong as error:
            if not self._whole:
                raise AttemptFailed(ProviderTimeout(), retryable=False, server_failed=True) from error
        except (aiohttp.ClientError, OSError) as error:
            if not self._whole:
                raise _broken(type(error).__name__) from error
        return b""

    def _push(self, received: bytes) -> bool:
        """Pass on what arrives during a wait, in the context of its task; return whether the wait goes on."""
        try:
            return self._context.run(self._pass_on, received)
        except Exception as error:  # noqa: BLE001 - raised in the waiting task
            self._error = error
            return False

    def _pass_on(self, received: bytes) -> bool:
        assert self._sink is not None
        found = self._parse(received)
        if self._ended or self._parser.failure is not None:
            self._held = found
            return False
        if found:
            self._sink(found)
        return True

    @property
    def _whole(self) -> bool:
        return self._parser.finish_reason is not None

    def _parse(self, received: bytes) -> list[AnswerChunk]:
        if self._body.is_between_events:
            repeated = self._parser.repeated(received)
            if repeated is not None:
                self._idle_timer.touch()
                return repeated
        found: list[AnswerChunk] = []
        for event in self._body.feed(received):
            if event.data.strip() == DONE_MARKER:
                return [*found, *self._end("stop")]
            if event.name in self._parser.event_names:
                found += self._parser.parse(event.data, error=event.name == b"error")
            self._note_damage()
            if self._parser.ended:
                return [*found, *self._end("stop")]
            if self._parser.failure is not None:
                return found
        self._note_damage()
        if not received:
            return [*found, *self._end("stop" if self._body.is_json and self._parser.begun else None)]
        self._restart_timer(found)
        return found

    def _note_damage(self) -> None:
        if self._body.damaged and not self._whole:
            self._parser.damaged = True
        if self._parser.damaged and not self._parser.begun and self._parser.failure is None:
            self._parser.failure = _broken("event")  # nothing is shown yet: the call may be tried again

    def _end(self, reason: str | None) -> list[AnswerChunk]:
        """End the response. It is broken if a part of it is lost, or if it has no finish reason."""
        self._ended = True
        found = self._parser.finish(reason) if self._parser.begun or self._whole or reason else []
        if self._parser.damaged or not self._whole:
            self._parser.failure = _broken("event" if self._parser.damaged else "end")
        return found

    def _restart_timer(self, found: Iterable[AnswerChunk]) -> None:
        if not self._whole or has_entry(found):
            self._idle_timer.touch()
        if self._whole and not self._trailing:
            self._trailing = True
            self._idle_timer.stop()
            self._idle_timer = self._timer(min(self._idle, TRAILER_TIMEOUT))

    def _timer(self, seconds: float) -> IdleTimer:
        return IdleTimer(seconds, lambda: self._response.content.set_exception(_SilentTooLong()))

    def close(self) -> None:
        """Close the connection."""
        self._idle_timer.stop()
        self._response.close()


def _broken(reason: str) -> AttemptFailed:
    log.warning("provider_stream_broken", reason=reason)
    return AttemptFailed(ProviderFailure(), retryable=True)
