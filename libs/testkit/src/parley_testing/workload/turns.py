"""Turns of many users at once, and the assertion that history stores each exactly once."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from parley_testing.http.client import SseEvent, StreamRefused, UserClient, open_http, register
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.waiting import eventually

PAGE = 100
RETRY_TIMEOUT, RETRY_DELAY = 30.0, 0.5
"""Seconds for which a reader retries a refused stream, and between two attempts."""
CONCURRENCY = 10
"""Concurrent requests to history."""


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """A turn and its answer."""

    user: UserClient
    id: str
    conversation: str
    status: str
    text: str
    seconds: float


@contextlib.asynccontextmanager
async def open_users(stack: SeparateStack, count: int) -> AsyncIterator[list[UserClient]]:
    """Register users through the gateways in turn."""
    async with contextlib.AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(open_http(stack.url)) for _ in range(count)]
        yield [await register(http) for http in clients]


async def take_turn(user: UserClient, message: str, conversation: str | None = None) -> AnsweredTurn:
    """Take one turn as JSON and assert that it was accepted; wait when the rate limit says so."""
    body = {"message": message, **({"conversation_id": conversation} if conversation else {})}
    while True:
        began = time.monotonic()
        response = await user.request("POST", "/api/v1/chat", json=body)
        seconds = time.monotonic() - began
        if response.status_code != httpx2.codes.TOO_MANY_REQUESTS:
            break
        await asyncio.sleep(float(response.headers["retry-after"]))
    assert response.status_code == httpx2.codes.OK, response.text
    answer = response.json()
    return AnsweredTurn(
        user, answer["turn_id"], answer["conversation_id"], answer["status"], answer["message"], seconds
    )


async def take_turns(users: Sequence[UserClient], count: int, message: str) -> list[AnsweredTurn]:
    """Take turns concurrently, each in a new conversation, by the users in rotation."""
    authors = itertools.islice(itertools.cycle(users), count)
    return list(await asyncio.gather(*(take_turn(user, message) for user in authors)))


async def continue_conversations(turns: Iterable[AnsweredTurn], message: str) -> list[AnsweredTurn]:
    """Take one more turn in the conversation of each turn, concurrently."""
    return list(await asyncio.gather(*(take_turn(turn.user, message, turn.conversation) for turn in turns)))


async def stored_exactly_once(turns: Iterable[AnsweredTurn], *, within: float) -> float:
    """Wait until history has every turn, and assert that none is stored twice or out of order; return the seconds."""
    began = time.monotonic()
    wanted = _by_conversation(turns)
    slots = asyncio.Semaphore(CONCURRENCY)

    async def stored(expected: list[AnsweredTurn]) -> None:
        async def complete() -> bool:
            async with slots:
                return await _has(expected)

        left = max(0.1, began + within - time.monotonic())
        await eventually(complete, within=left, message=f"turn {expected[-1].id} is not in history after {within} s")

    await asyncio.gather(*(stored(expected) for expected in wanted))
    return time.monotonic() - began


@dataclass
class ResumingReader:
    """Reads a turn's stream to its end, resuming at the next gateway each time it breaks."""

    user: UserClient
    gateways: Sequence[httpx2.AsyncClient]
    """The gateways in the order of use."""
    turn_id: str = ""
    conversation: str = ""
    cursor: str = ""
    text: str = ""
    status: str = ""
    broken: int = 0
    refused: int = 0
    """The number of refused attempts."""
    retry_timeout: float = RETRY_TIMEOUT
    retried_statuses: tuple[int, ...] = (httpx2.codes.SERVICE_UNAVAILABLE,)
    """The statuses on which it retries."""

    async def read(self, message: str) -> AnsweredTurn:
        """Take a turn and read its stream to the end."""
        began = time.monotonic()
        await self._read("POST", "/api/v1/chat/stream", self.gateways[0], json={"message": message})
        while not self.status:
            self.broken += 1
            assert self.turn_id, "the stream broke before it began"
            gateway = self.gateways[self.broken % len(self.gateways)]
            await self._resume(gateway, began + self.retry_timeout)
        seconds = time.monotonic() - began
        return AnsweredTurn(self.user, self.turn_id, self.conversation, self.status, self.text, seconds)

    async def _resume(self, gateway: httpx2.AsyncClient, deadline: float) -> None:
        """Resume after the last event; retry a refused request for a while."""
        path = f"/api/v1/chat/turns/{self.turn_id}/stream"
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        try:
            await self._read("GET", path, gateway, headers=headers)
        except StreamRefused as refusal:
            if refusal.status not in self.retried_statuses or time.monotonic() > deadline:
                raise
            self.refused += 1
            await asyncio.sleep(RETRY_DELAY)

    async def _read(self, method: str, path: str, gateway: httpx2.AsyncClient, **options: Any) -> None:
        with contextlib.suppress(httpx2.TransportError):
            async for event in replace(self.user, http=gateway).events(method, path, **options):
                if event.name is None:
                    self._take(event)

    def _take(self, event: SseEvent) -> None:
        self.turn_id, self.conversation = event.data["turn_id"], event.data["conversation_id"]
        self.cursor = event.id or self.cursor
        self.text += event.data["delta"]
        if event.data["finished"]:
            self.status = event.data["status"]


def _by_conversation(turns: Iterable[AnsweredTurn]) -> list[list[AnsweredTurn]]:
    found: dict[str, list[AnsweredTurn]] = {}
    for turn in turns:
        found.setdefault(turn.conversation, []).append(turn)
    return list(found.values())


async def _has(expected: list[AnsweredTurn]) -> bool:
    """Return whether the turns' conversation is complete; raise at once if it has more than expected."""
    user, path = expected[0].user, f"/api/v1/conversations/{expected[0].conversation}"
    messages = await _get(user, f"{path}/messages?limit={PAGE}")
    conversation = await _get(user, path)
    if messages is None or conversation is None:
        return False
    answers = [m for m in messages["data"] if m["role"] == "assistant"]
    wanted = [turn.id for turn in expected]
    found = [m["id"] for m in answers]
    if len(found) > len(wanted) or len(messages["data"]) > 2 * len(wanted):
        raise UnexpectedMessages(f"history has {found} where there were {wanted}")
    if found != wanted or any(m["status"] != turn.status for m, turn in zip(answers, expected, strict=True)):
        return False
    texts = [(m["content"], turn.text) for m, turn in zip(answers, expected, strict=True)]
    return all(kept == shown for kept, shown in texts) and bool(conversation["message_count"] == 2 * len(wanted))


class UnexpectedMessages(Exception):
    """History has a message that was not sent, or has one twice; waiting cannot repair it."""


async def _get(user: UserClient, path: str) -> Any:
    response = await user.request("GET", path)
    if response.status_code == httpx2.codes.NOT_FOUND:
        return None
    assert response.status_code == httpx2.codes.OK, response.text
    return response.json()
