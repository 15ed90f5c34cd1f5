"""Load from inside a cluster: streams and requests, each without retries except for streams that break."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
from pod_traffic.turns import STREAM, LoadReport, RefusedError, ShownTurn, parsed_events, successful

SHORT = "short [[fake tokens=2]]"
RESUME_TIMEOUT, RESUME_DELAY = 120.0, 0.5
STORED_TIMEOUT, STORED_DELAY = 240.0, 1.0
CONCURRENCY = 5
START_INTERVAL = 0.25
"""Seconds between the starts of two streams: while Redis is late, limits permit a small burst only."""
TURN_INTERVAL = 5
"""One of so many requests is a turn, the others are lists."""
RETRIED = (httpx2.codes.BAD_GATEWAY, httpx2.codes.SERVICE_UNAVAILABLE, httpx2.codes.GATEWAY_TIMEOUT)


class Load:
    """Readers of streams and senders of requests, of a few users."""

    def __init__(self, clients: list[httpx2.AsyncClient], rate: float) -> None:
        self.clients, self.rate = clients, rate
        self.report = LoadReport()
        self.turns: list[ShownTurn] = []
        self.began = time.monotonic()
        self.ending = asyncio.Event()

    async def run(self, streams: int) -> None:
        """Keep the traffic up until it is ended, and wait for every stream."""
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(self._repeat(number % len(self.clients)))
                await asyncio.sleep(START_INTERVAL)
            group.create_task(self._send(group))

    async def _repeat(self, user: int) -> None:
        while not self.ending.is_set():
            await self._try("stream", self._stream, user)

    async def _send(self, group: asyncio.TaskGroup) -> None:
        """Send a turn and some lists of each user in turn: the open turns of one user are limited."""
        for number in itertools.count():
            if self.ending.is_set():
                return
            name, act = ("list", self._list) if number % TURN_INTERVAL else ("turn", self._turn)
            group.create_task(self._try(name, act, number // TURN_INTERVAL % len(self.clients)))
            await asyncio.sleep(1 / self.rate)

    async def _try(self, name: str, act: Callable[[int], Awaitable[None]], user: int) -> None:
        sent = time.monotonic()
        try:
            await act(user)
        except (RefusedError, httpx2.TransportError) as error:
            self._failed(name, sent, error)
            await asyncio.sleep(RESUME_DELAY)
        else:
            if name != "stream":
                self.report.seconds.append([round(sent - self.began, 2), round(time.monotonic() - sent, 2)])

    def _failed(self, name: str, sent: float, error: Exception) -> None:
        how = f"{name}: {type(error).__name__} {error}"
        self.report.failed.append([round(sent - self.began, 2), how, round(time.monotonic() - sent, 2)])

    async def _list(self, user: int) -> None:
        successful(await self.clients[user].get("/api/v1/conversations", params={"limit": 5}))
        self.report.requests += 1

    async def _turn(self, user: int) -> None:
        answer = successful(await self.clients[user].post("/api/v1/chat", json={"message": SHORT})).json()
        self.report.requests += 1
        text, status = answer["message"], answer["status"]
        self.turns.append(ShownTurn(user, answer["turn_id"], answer["conversation_id"], text=text, status=status))

    async def _stream(self, user: int) -> None:
        turn, began = ShownTurn(user), time.monotonic()
        try:
            await self._read(turn, "POST", "/api/v1/chat/stream", json={"message": STREAM})
        except httpx2.TransportError:
            if not turn.id:
                raise
        deadline = time.monotonic() + RESUME_TIMEOUT
        while not turn.status and turn.id and time.monotonic() < deadline:
            await self._resume(turn)
        self.report.streams += 1
        self.report.tokens += len(turn.text.split())
        self.report.incomplete += turn.status == "incomplete"
        self.report.longest = round(max(self.report.longest, time.monotonic() - began), 1)
        self.turns.append(turn)
        if fault := turn.fault:
            self.report.wrong.append(f"turn {turn.id}: {fault}")

    async def _resume(self, turn: ShownTurn) -> None:
        """Continue behind the last event; the loop of the caller repeats it."""
        headers = {"Last-Event-ID": turn.cursor} if turn.cursor else {}
        self.report.resumed += 1
        try:
            await self._read(turn, "GET", f"/api/v1/chat/turns/{turn.id}/stream", headers=headers)
        except (RefusedError, httpx2.TransportError) as error:
            if isinstance(error, RefusedError) and error.status not in RETRIED:
                raise
            await asyncio.sleep(RESUME_DELAY)

    async def _read(self, turn: ShownTurn, method: str, path: str, **options: Any) -> None:
        async with self.clients[turn.user].stream(method, path, **options) as response:
            if response.status_code != httpx2.codes.OK:
                await response.aread()
            successful(response)
            async for name, cursor, data in parsed_events(response.aiter_lines()):
                if not name:
                    turn.take(data, cursor)

    async def check_history(self) -> None:
        """Wait until history has every turn, once and as it was shown."""
        began, slots = time.monotonic(), asyncio.Semaphore(CONCURRENCY)

        async def stored(turn: ShownTurn) -> None:
            found = "history was not read"
            while time.monotonic() < began + STORED_TIMEOUT:
                async with slots:
                    try:
                        found = await self._difference(turn)
                    except (httpx2.TransportError, RefusedError) as error:
                        found = f"{type(error).__name__}: {error}"
                if not found:
                    return
                await asyncio.sleep(STORED_DELAY)
            self.report.wrong.append(f"history, turn {turn.id}: {found}")

        await asyncio.gather(*(stored(turn) for turn in self.turns if turn.status))
        self.report.stored_after = round(time.monotonic() - began, 1)

    async def _difference(self, turn: ShownTurn) -> str:
        response = await self.clients[turn.user].get(f"/api/v1/conversations/{turn.conversation}/messages")
        found = [(each["id"], each["status"], each["content"]) for each in successful(response).json()["data"]]
        if len(found) == 2 and found[1] == (turn.id, turn.status, turn.text):
            return ""
        return f"{len(found)} messages, {[(id_, status, len(text)) for id_, status, text in found]}"
