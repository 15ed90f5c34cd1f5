"""Reply to one call: rate of tokens, and faults at their positions."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from fake_provider.answer_builder import ModelAnswer
from fake_provider.client_connection import ClientConnection
from fake_provider.journal import JournalEntry
from fake_provider.knobs import Knobs
from fake_provider.wire_format import SSE_HEADERS

TOKENS_PER_YIELD = 64
COMPLETED = "completed"


class Renderer(Protocol):
    """Wire format of one answer."""

    def begin(self) -> bytes:
        """Render the events before the first token."""
        ...

    def chunk(self, start: int, end: int) -> bytes:
        """Render the tokens `start + 1` to `end`."""
        ...

    def end_chunks(self) -> bytes:
        """Render the end of the stream."""
        ...

    def garbage(self) -> bytes:
        """Render an invalid chunk."""
        ...

    def stream_error(self) -> bytes:
        """Render an error inside the stream."""
        ...

    def status_error(self, status: int, key: str) -> bytes:
        """Render the body of a response with this status."""
        ...

    def completion(self) -> bytes:
        """Render the whole answer."""
        ...


class CallReply:
    """Reply to one call, as its knobs say. Methods that end the call return its outcome."""

    def __init__(
        self,
        connection: ClientConnection,
        knobs: Knobs,
        answer: ModelAnswer,
        renderer: Renderer,
        entry: JournalEntry,
        longest_wait: float,
    ) -> None:
        self._connection = connection
        self._knobs = knobs
        self._answer = answer
        self._renderer = renderer
        self._entry = entry
        self._longest_wait = longest_wait
        self._sent = 0
        self._started = 0.0

    async def run(self, *, stream: bool, key: str) -> str:
        """Reply, and return the outcome: `completed`, `cut`, `stalled`, `error`, or for example `status:503`."""
        if self._knobs.hang:
            return await self._stall(None)
        if self._knobs.latency_ms:
            await asyncio.sleep(self._knobs.latency_ms / 1000)
        if self._knobs.cut_after == -1:
            return await self._cut()
        if self._knobs.status is not None:
            return await self._send_error(self._knobs.status, key)
        self._entry.phase = "answering"
        self._started = time.monotonic()
        return await (self._send_stream() if stream else self._send_whole(key))

    async def _send_error(self, status: int, key: str) -> str:
        named = {b"retry-after": self._knobs.retry_after, b"location": self._knobs.location}
        headers = [(name, value.encode()) for name, value in named.items() if value is not None]
        await self._connection.respond(status, self._renderer.status_error(status, key), headers)
        return f"status:{status}"

    async def _send_stream(self) -> str:
        await self._connection.start(200, SSE_HEADERS)
        await self._connection.write(self._renderer.begin())
        for position in self._fault_positions():
            await self._send_tokens(position)
            ended = await self._faults_at(position)
            if ended is not None:
                return ended
        await self._send_tokens(self._answer.total)
        await self._connection.write(self._renderer.end_chunks(), more=False)
        return COMPLETED

    async def _send_tokens(self, until: int) -> None:
        while self._sent < until:
            end = min(self._sent + self._knobs.tokens_per_chunk, until)
            await self._wait_for_rate()
            await self._connection.write(self._renderer.chunk(self._sent, end))
            self._sent = self._entry.tokens_sent = end

    async def _wait_for_rate(self) -> None:
        rate = self._knobs.rate
        delay = self._started + self._sent / rate - time.monotonic() if rate else 0.0
        if delay > 0:
            await asyncio.sleep(delay)
        elif self._sent % TOKENS_PER_YIELD == 0:
            await asyncio.sleep(0)

    def _fault_positions(self) -> Sequence[int]:
        knobs = self._knobs
        positions = {knobs.stall_after, knobs.garbage_after, knobs.error_after, knobs.cut_after}
        return sorted(at for at in positions if at is not None and at <= self._answer.total)

    async def _faults_at(self, position: int) -> str | None:
        knobs = self._knobs
        if knobs.stall_after == position:
            ended = await self._stall(knobs.stall_s)
            if ended:
                return ended
        if knobs.garbage_after == position:
            await self._connection.write(self._renderer.garbage())
        if knobs.error_after == position:
            await self._connection.write(self._renderer.stream_error(), more=False)
            return "error"
        return await self._cut() if knobs.cut_after == position else None

    async def _send_whole(self, key: str) -> str:
        knobs = self._knobs
        if knobs.rate and self._answer.total:
            await asyncio.sleep((self._answer.total - 1) / knobs.rate)
        faults = self._fault_positions()
        if knobs.stall_after in faults:
            ended = await self._stall(knobs.stall_s)
            if ended:
                return ended
        if knobs.error_after in faults:
            return await self._send_error(500, key)
        return await self._send_whole_body(faults)

    async def _send_whole_body(self, faults: Sequence[int]) -> str:
        body = self._renderer.completion()
        if self._knobs.cut_after in faults:
            await self._connection.respond_half(200, body)
            return await self._cut()
        if self._knobs.garbage_after in faults:
            body = self._renderer.garbage()
        await self._connection.respond(200, body)
        self._entry.tokens_sent = self._answer.total
        return COMPLETED

    async def _stall(self, seconds: float | None) -> str:
        """Stop sending. Returns the outcome, or an empty text when the call continues."""
        phase, self._entry.phase = self._entry.phase, "stalled"
        wait = self._longest_wait if seconds is None else min(seconds, self._longest_wait)
        await asyncio.sleep(wait)
        if seconds is None:
            await self._connection.close()
            return "stalled"
        self._started += wait
        self._entry.phase = phase
        return ""

    async def _cut(self) -> str:
        await (self._connection.reset() if self._knobs.cut == "reset" else self._connection.close())
        return "cut"
