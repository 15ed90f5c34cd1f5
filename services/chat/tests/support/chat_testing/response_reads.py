"""Scripted responses of providers, and their chunks as the reader returns and pushes them."""

import asyncio
import json
from typing import Any

import aiohttp

from chat.providers.failures import AttemptFailed
from chat.providers.parsing.chunks import ChunkParser
from chat.providers.parsing.response_reader import ResponseReader
from chat_testing.parsed_answers import ParsedAnswer


class ScriptedResponse:
    """A response whose reads return the given bytes, then raise ``failure``, end, or wait for ``set_exception``."""

    def __init__(self, *reads: bytes, failure: Exception | None = None, silent: bool = False) -> None:
        self._reads, self._failure, self.closed, self.content = list(reads), failure, False, self
        self._silence: asyncio.Future[bytes] | None = asyncio.get_running_loop().create_future() if silent else None

    async def readany(self) -> bytes:
        if self._reads:
            return self._reads.pop(0)
        if self._failure is not None:
            raise self._failure
        return b"" if self._silence is None else await self._silence

    def set_exception(self, failure: Exception) -> None:
        assert self._silence is not None
        self._silence.set_exception(failure)

    def close(self) -> None:
        self.closed = True


class ConnectedProtocol:
    """The connection of a body that is never paused."""

    connected, _reading_paused = True, False

    def resume_reading(self, *, resume_parser: bool = True) -> None:
        pass


class FedResponse:
    """A response whose bytes arrive while its reader waits: then they may be pushed."""

    def __init__(self, *reads: bytes, failure: Exception | None, silent: bool) -> None:
        protocol: Any = ConnectedProtocol()
        self.content = aiohttp.StreamReader(protocol, 2**30, loop=asyncio.get_running_loop())
        self._reads, self._failure, self._silent = list(reads), failure, silent
        self._feeding = asyncio.create_task(self._feed())

    async def _feed(self) -> None:
        for part in self._reads:
            await asyncio.sleep(0)
            self.content.feed_data(part)
        await asyncio.sleep(0)
        if self._failure is not None:
            self.content.set_exception(self._failure)
        elif not self._silent:
            self.content.feed_eof()

    def close(self) -> None:
        self._feeding.cancel()


def sse(*documents: Any, line_end: str = "\n") -> bytes:
    texts = (document if isinstance(document, str) else json.dumps(document) for document in documents)
    return "".join(f"data: {text}{line_end * 2}" for text in texts).encode()


async def read(
    *reads: bytes, failure: Exception | None = None, idle: float = 60, silent: bool = False
) -> tuple[ParsedAnswer, AttemptFailed | None]:
    """Return what was read, and the failure at its end. A ``silent`` response does not end."""
    answer, failed = await _read(ScriptedResponse(*reads, failure=failure, silent=silent), idle)
    pushed, failed_too = await _read(FedResponse(*reads, failure=failure, silent=silent), idle, pushes=True)
    assert pushed.chunks == answer.chunks, "a sink gets the same chunks"
    assert repr(failed_too) == repr(failed)
    return answer, failed


async def _read(response: Any, idle: float, *, pushes: bool = False) -> tuple[ParsedAnswer, AttemptFailed | None]:
    parser = ChunkParser()
    reader, answer = ResponseReader(response, parser, idle), ParsedAnswer(parser)
    try:
        while found := await reader.read(answer.chunks.extend if pushes else None):
            answer.chunks += found
    except AttemptFailed as failed:
        return answer, failed
    finally:
        reader.close()
    return answer, None


async def whole(*reads: bytes, failure: Exception | None = None) -> ParsedAnswer:
    answer, failed = await read(*reads, failure=failure)
    assert failed is None
    return answer


async def failed(*reads: bytes, failure: Exception | None = None) -> tuple[str, AttemptFailed]:
    answer, found = await read(*reads, failure=failure)
    assert found is not None
    return answer.text, found
