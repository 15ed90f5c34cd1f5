"""Users during a fault: long streams, and turns, reads and logins at a steady rate, each with its status and time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import httpx2

from blackout.cells import Cell, Kind
from parley_testing.http.client import UserClient
from parley_testing.waiting import eventually
from parley_testing.workload.turns import AnsweredTurn, ResumingReader

STREAM_RATE, SPARE_SECONDS = 2, 15.0
"""Tokens per second of a stream, and seconds for which it goes on after the fault."""
SOAK_STREAMS = 8
SOAK_STREAM = "soak [[fake tokens=30 rate=2]]"
RETRIED = (429, 502, 503, 504)
"""Statuses on which a client resumes a stream again."""
SHORT = "short [[fake tokens=2]]"
START_INTERVAL = 0.1
"""Seconds between the starts of two streams: while Redis is away, limits permit a small burst only."""
FIRST_TEXT_TIMEOUT = 60.0
CLIENT_TIMEOUT = 45.0
"""Seconds after which a client gives up: no request may take as long."""
INTERVALS: dict[Kind, float] = {"turn": 1.0, "read": 0.5, "login": 2.0}
NO_ANSWER = 0
"""Status of a request whose connection broke or that got no answer in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request."""

    kind: Kind
    sent_at: float
    """Monotonic time."""
    seconds: float
    status: int
    code: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it succeeded."""
        return self.status == httpx2.codes.OK


@dataclass
class Traffic:
    """What the users of one cell do and get."""

    users: Sequence[UserClient]
    answers: list[Answer] = field(default_factory=list)
    turns: list[AnsweredTurn] = field(default_factory=list)
    """The turns of requests that succeeded."""

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Send requests at a steady rate while the context is open, however long each takes; then await the rest."""
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(self._send_all(group, kind, interval)) for kind, interval in INTERVALS.items()]
            try:
                yield
            finally:
                for loop in loops:
                    loop.cancel()

    async def _send_all(self, group: asyncio.TaskGroup, kind: Kind, interval: float) -> None:
        number = 0
        while True:
            group.create_task(self.send(kind, self.users[number % len(self.users)]))
            number += 1
            await asyncio.sleep(interval)

    async def send(self, kind: Kind, user: UserClient) -> None:
        """Send one request and record its outcome."""
        began = time.monotonic()
        try:
            response = await _request(kind, user)
        except httpx2.TransportError as error:
            self.answers.append(Answer(kind, began, time.monotonic() - began, NO_ANSWER, type(error).__name__))
            return
        seconds = time.monotonic() - began
        code = "" if response.is_success else str(response.json().get("code", response.text))
        self.answers.append(Answer(kind, began, seconds, response.status_code, code))
        if response.is_success and kind == "turn":
            found = response.json()
            turn = AnsweredTurn(
                user, found["turn_id"], found["conversation_id"], found["status"], found["message"], seconds
            )
            self.turns.append(turn)

    def before(self, moment: float) -> list[Answer]:
        """Return the outcomes of the requests that had ended by then."""
        return [answer for answer in self.answers if answer.sent_at + answer.seconds < moment]

    def between(self, start: float, end: float) -> list[Answer]:
        """Return the outcomes of the requests that were open at ``start`` or sent from then until ``end``."""
        return [answer for answer in self.answers if start <= answer.sent_at + answer.seconds and answer.sent_at < end]


async def _request(kind: Kind, user: UserClient) -> httpx2.Response:
    if kind == "turn":
        return await user.request("POST", "/api/v1/chat", json={"message": SHORT}, timeout=CLIENT_TIMEOUT)
    if kind == "read":
        return await user.request("GET", "/api/v1/conversations", timeout=CLIENT_TIMEOUT)
    form = {"grant_type": "password", "username": user.username, "password": user.password}
    return await user.http.post("/api/v1/auth/token", data=form, timeout=CLIENT_TIMEOUT)


def _reader(
    users: Sequence[UserClient], gateways: Sequence[httpx2.AsyncClient], number: int, retry_timeout: float
) -> ResumingReader:
    """Return the reader of a stream; every second one begins at the second gateway."""
    first = number % 2
    return ResumingReader(
        replace(users[number % len(users)]),
        [*gateways[first:], *gateways[:first]],
        retry_timeout=retry_timeout,
        retried_statuses=RETRIED,
    )


@dataclass
class SoakStreams:
    """Streams that are read one after the other, some at a time, each resumed when it breaks."""

    users: Sequence[UserClient]
    gateways: Sequence[httpx2.AsyncClient]
    turns: list[AnsweredTurn] = field(default_factory=list)
    _ending: bool = False

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Read streams while the context is open, and the last ones to their ends."""
        async with asyncio.TaskGroup() as group:
            for number in range(SOAK_STREAMS):
                group.create_task(self._read_on(number))
            try:
                yield
            finally:
                self._ending = True

    async def _read_on(self, number: int) -> None:
        while not self._ending:
            reader = _reader(self.users, self.gateways, number, FIRST_TEXT_TIMEOUT)
            try:
                self.turns.append(await reader.read(SOAK_STREAM))
            except AssertionError:
                if reader.turn_id:
                    raise
                await asyncio.sleep(1)  # it was not accepted


@dataclass
class Streams:
    """Streams that are open while something breaks, each read through two gateways in turn."""

    readers: list[ResumingReader]
    _reading: list[asyncio.Task[AnsweredTurn]]

    @classmethod
    async def open(cls, users: Sequence[UserClient], gateways: Sequence[httpx2.AsyncClient], cell: Cell) -> "Streams":
        """Begin turns that stream longer than the fault, and wait until each has text."""
        seconds = cell.seconds + SPARE_SECONDS
        length, retry_timeout = round(seconds * STREAM_RATE), 4 * seconds
        readers = [_reader(users, gateways, number, retry_timeout) for number in range(cell.streams)]
        message = f"stream [[fake tokens={length} rate={STREAM_RATE}]]"
        reading = []
        for reader in readers:
            reading.append(asyncio.create_task(reader.read(message)))
            await asyncio.sleep(START_INTERVAL)
        await eventually(lambda: all(reader.text for reader in readers), within=FIRST_TEXT_TIMEOUT)
        return cls(readers, reading)

    @property
    def broken(self) -> int:
        """How often a client had to resume a stream."""
        return sum(reader.broken for reader in self.readers)

    async def end(self) -> list[AnsweredTurn]:
        """Read every stream to its end."""
        return list(await asyncio.gather(*self._reading))

    def cancel(self) -> None:
        """Stop reading."""
        for task in self._reading:
            task.cancel()
