"""Traffic from inside a cluster: streams and requests until standard input closes, then a report as one line of JSON.

It runs in a pod, from the image of a service, and therefore imports nothing but httpx2 and the standard library.
Usage: traffic.py URL STREAMS RATE
"""

import asyncio
import contextlib
import itertools
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

USERS = 5
TOKENS = 60
STREAM = f"stream [[fake tokens={TOKENS} rate=4]]"
"""A stream of 15 s."""
SHORT = "short [[fake tokens=2]]"
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 20.0
"""A silent stream sends a ping every 15 s."""
RESUME_TIMEOUT, RESUME_DELAY = 120.0, 0.5
STORED_TIMEOUT, STORED_DELAY = 240.0, 1.0
CONCURRENCY = 5
RETRIED = (httpx2.codes.BAD_GATEWAY, httpx2.codes.SERVICE_UNAVAILABLE, httpx2.codes.GATEWAY_TIMEOUT)


class Refused(Exception):
    """A request had another status than 200."""

    def __init__(self, response: httpx2.Response) -> None:
        code = response.json().get("code", "") if "json" in response.headers.get("content-type", "") else ""
        super().__init__(f"{response.status_code} {code}".strip())
        self.status = response.status_code


def accepted(response: httpx2.Response) -> httpx2.Response:
    """Return the response; raise ``Refused`` unless its status is 200."""
    if response.status_code != httpx2.codes.OK:
        raise Refused(response)
    return response


@dataclass
class Turn:
    """A turn as its reader saw it."""

    user: int
    id: str = ""
    conversation: str = ""
    cursor: str = ""
    text: str = ""
    status: str = ""

    def take(self, data: dict[str, Any], cursor: str) -> None:
        """Add an event of the stream."""
        self.id, self.conversation, self.cursor = data["turn_id"], data["conversation_id"], cursor or self.cursor
        self.text += data["delta"]
        self.status = data["status"] if data["finished"] else ""

    @property
    def fault(self) -> str:
        """Return what is wrong with the text, or nothing."""
        tokens = self.text.split()
        if tokens != [f"t{number}" for number in range(1, len(tokens) + 1)]:
            return "tokens are lost or repeated"
        if self.status == "incomplete" or (self.status == "completed" and len(tokens) == TOKENS):
            return ""
        return f"ended as {self.status!r} with {len(tokens)} of {TOKENS} tokens"


@dataclass
class Report:
    """What happened."""

    streams: int = 0
    tokens: int = 0
    resumed: int = 0
    incomplete: int = 0
    requests: int = 0
    seconds: list[list[float]] = field(default_factory=list)
    """Of each request that was answered: when it was sent, and how long the answer took."""
    failed: list[list[Any]] = field(default_factory=list)
    """Of each request and stream that failed: when it was sent, and how it failed."""
    wrong: list[str] = field(default_factory=list)
    """Streams whose tokens, and turns whose messages in history, are not what was shown."""
    stored_after: float = 0.0
    """Seconds until history had every turn."""


class Traffic:
    """Readers of streams and senders of requests, each without retries except for streams that break."""

    def __init__(self, clients: list[httpx2.AsyncClient], rate: float) -> None:
        self.clients, self.rate = clients, rate
        self.report = Report()
        self.turns: list[Turn] = []
        self.began = time.monotonic()
        self.ending = asyncio.Event()

    async def run(self, streams: int) -> None:
        """Keep the traffic up until it is ended, and wait for every stream."""
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(self._repeat(number % len(self.clients)))
            group.create_task(self._send(group))

    async def _repeat(self, user: int) -> None:
        while not self.ending.is_set():
            await self._try("stream", self._stream, user)

    async def _send(self, group: asyncio.TaskGroup) -> None:
        for number in itertools.count():
            if self.ending.is_set():
                return
            name, act = ("turn", self._turn) if number % 5 == 0 else ("list", self._list)
            group.create_task(self._try(name, act, number % len(self.clients)))
            await asyncio.sleep(1 / self.rate)

    async def _try(self, name: str, act: Callable[[int], Awaitable[None]], user: int) -> None:
        sent = time.monotonic()
        try:
            await act(user)
        except (Refused, httpx2.TransportError) as error:
            self.report.failed.append([round(sent - self.began, 2), f"{name}: {type(error).__name__} {error}"])
            await asyncio.sleep(RESUME_DELAY)
        else:
            if name != "stream":
                self.report.seconds.append([round(sent - self.began, 2), round(time.monotonic() - sent, 2)])

    async def _list(self, user: int) -> None:
        accepted(await self.clients[user].get("/api/v1/conversations", params={"limit": 5}))
        self.report.requests += 1

    async def _turn(self, user: int) -> None:
        answer = accepted(await self.clients[user].post("/api/v1/chat", json={"message": SHORT})).json()
        self.report.requests += 1
        text, status = answer["message"], answer["status"]
        self.turns.append(Turn(user, answer["turn_id"], answer["conversation_id"], text=text, status=status))

    async def _stream(self, user: int) -> None:
        turn = Turn(user)
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
        self.turns.append(turn)
        if fault := turn.fault:
            self.report.wrong.append(f"turn {turn.id}: {fault}")

    async def _resume(self, turn: Turn) -> None:
        """Continue behind the last event; the loop of the caller repeats it."""
        headers = {"Last-Event-ID": turn.cursor} if turn.cursor else {}
        self.report.resumed += 1
        try:
            await self._read(turn, "GET", f"/api/v1/chat/turns/{turn.id}/stream", headers=headers)
        except (Refused, httpx2.TransportError) as error:
            if isinstance(error, Refused) and error.status not in RETRIED:
                raise
            await asyncio.sleep(RESUME_DELAY)

    async def _read(self, turn: Turn, method: str, path: str, **options: Any) -> None:
        async with self.clients[turn.user].stream(method, path, **options) as response:
            if response.status_code != httpx2.codes.OK:
                await response.aread()
            accepted(response)
            async for name, cursor, data in events(response.aiter_lines()):
                if not name:
                    turn.take(data, cursor)

    async def check_history(self) -> None:
        """Wait until history has every turn, once and as it was shown."""
        began, slots = time.monotonic(), asyncio.Semaphore(CONCURRENCY)

        async def stored(turn: Turn) -> None:
            found = "nothing was asked"
            while time.monotonic() < began + STORED_TIMEOUT:
                async with slots:
                    try:
                        found = await self._difference(turn)
                    except (httpx2.TransportError, Refused) as error:
                        found = f"{type(error).__name__}: {error}"
                if not found:
                    return
                await asyncio.sleep(STORED_DELAY)
            self.report.wrong.append(f"history, turn {turn.id}: {found}")

        await asyncio.gather(*(stored(turn) for turn in self.turns if turn.status))
        self.report.stored_after = round(time.monotonic() - began, 1)

    async def _difference(self, turn: Turn) -> str:
        response = await self.clients[turn.user].get(f"/api/v1/conversations/{turn.conversation}/messages")
        found = [(each["id"], each["status"], each["content"]) for each in accepted(response).json()["data"]]
        if len(found) == 2 and found[1] == (turn.id, turn.status, turn.text):
            return ""
        return f"{len(found)} messages, {[(id_, status, len(text)) for id_, status, text in found]}"


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, ID and data of each server-sent event."""
    name = cursor = data = ""
    async for line in lines:
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, cursor, json.loads(data)
            name = cursor = data = ""
        elif key == "event":
            name = value
        elif key == "id":
            cursor = value
        elif key == "data":
            data += value


async def sign_up(http: httpx2.AsyncClient) -> str:
    """Register a user and return an API key."""
    name, password = f"user-{secrets.token_hex(6)}", secrets.token_urlsafe(16)
    body = {"username": name, "email": f"{name}@example.org", "password": password}
    (await http.post("/api/v1/auth/register", json=body)).raise_for_status()
    form = {"grant_type": "password", "username": name, "password": password}
    token = (await http.post("/api/v1/auth/token", data=form)).raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    key = {"name": "traffic", "scopes": ["chat:write", "history:read"]}
    made = await http.post("/api/v1/auth/api-keys", json=key, headers=headers)
    return str(made.raise_for_status().json()["key"])


async def main(url: str, streams: int, rate: float) -> None:
    """Sign up, say ``ready``, run until standard input closes, and print the report."""
    timeout = httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    async with contextlib.AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False))
            for _ in range(USERS)
        ]
        for client in clients:
            client.headers["Authorization"] = f"Bearer {await sign_up(client)}"
        traffic = Traffic(clients, rate)
        running = asyncio.create_task(traffic.run(streams))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        traffic.ending.set()
        await running
        await traffic.check_history()
    print(json.dumps(vars(traffic.report)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
