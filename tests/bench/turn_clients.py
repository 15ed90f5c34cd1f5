"""Clients of the benchmark of turns: requests in a closed or an open loop, refusals counted."""

import asyncio
import itertools
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from verdicts import RefusalCounter  # type: ignore[import-not-found]


@dataclass
class ResponseTimes:
    """Seconds of each response, and of the whole load."""

    took: list[float] = field(default_factory=list)
    seconds: float = 0.0
    refusals: RefusalCounter = field(default_factory=RefusalCounter)

    def percentile(self, percent: int) -> float:
        """Return a percentile in milliseconds; 0 without an answer."""
        return statistics.quantiles(self.took * 2, n=100)[percent - 1] * 1000 if self.took else 0.0

    def __str__(self) -> str:
        """Return a summary in one line."""
        rate = len(self.took) / self.seconds
        times = f"p50 {self.percentile(50):.0f} ms, p99 {self.percentile(99):.0f} ms"
        return f"{len(self.took):,} answers, {rate:.0f}/s, {times}, {self.refusals}"


class Clients:
    """Sends requests to one port over persistent connections."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port, self._requests = port, itertools.cycle(requests)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, load: ResponseTimes) -> None:
        """Send one request and record its duration, or count its refusal."""
        began = time.perf_counter()
        try:
            status = await self._exchange()
        except (OSError, EOFError) as error:
            status = type(error).__name__
        if status == "200":
            load.took.append(time.perf_counter() - began)
        else:
            load.refusals.add(status)

    async def _exchange(self) -> str:
        """Return the status of one response, and the code of an error. The response is read to its end."""
        reader, writer = await self._connection()
        writer.write(next(self._requests))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
        self._idle.append((reader, writer))
        status = head[9:12].decode()
        return status if status == "200" else f"{status} {_code(body)}"

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return an idle connection that the server has not closed, or a new one."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def closed_loop(self, at_once: int, seconds: float) -> ResponseTimes:
        """Send the next request after each response."""
        load, began = ResponseTimes(), time.perf_counter()

        async def client() -> None:
            while time.perf_counter() < began + seconds:
                await self.ask(load)

        await asyncio.gather(*(client() for _ in range(at_once)))
        load.seconds = time.perf_counter() - began
        return load

    async def open_loop(self, rate: float, seconds: float) -> ResponseTimes:
        """Send requests at a fixed rate, independent of the responses."""
        load, began = ResponseTimes(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(round(rate * seconds)):
                await asyncio.sleep(began + number / rate - time.perf_counter())
                group.create_task(self.ask(load))
        load.seconds = time.perf_counter() - began
        return load


def _code(error: bytes) -> str:
    found = re.search(rb'"code":"(\w+)"', error)
    return found[1].decode() if found else "without a code"
