"""Dead letters of a subscriber: list them, deliver them again, or drop them."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import DeliveryError

from parley_events.connection import Connect, close, connect_for_command
from parley_events.side_queues import (
    ATTEMPTS,
    DIED_AT,
    DROPPED,
    ERROR,
    REASON,
    REDRIVEN,
    Headers,
    OwnExchange,
    own_headers,
)
from parley_events.topology import CONTROL, MAIN, SubscriberNames

GET_TIMEOUT = 5.0
MAX_BROWSED = 10_000
"""Dead letters that one call looks at; while it does, they are not available to others."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter; its members are empty where a malformed message has no such header."""

    id: str
    type: str
    key: str
    sequence: str
    time: str
    reason: str
    error: str
    attempts: int
    died_at: str
    data: bytes


Select: TypeAlias = Callable[[DeadLetter], bool]


def everything(_letter: DeadLetter) -> bool:
    """Select every dead letter."""
    return True


class DeadLetters:
    """The dead letters of one subscriber, oldest first."""

    def __init__(self, url: str, queue: str, *, connect: Connect = connect_for_command) -> None:
        self._url, self._names, self._connect = url, SubscriberNames(queue), connect

    async def list(self, limit: int = MAX_BROWSED) -> "list[DeadLetter]":
        """Return dead letters; they stay where they are."""
        async with self._opened() as (queue, _):
            return [letter async for _, letter in _browse(queue, limit)]

    async def redrive(self, select: Select = everything) -> int:
        """Deliver dead letters again, in order, and return how many. In a parked key, they go before what waits."""
        return await self._move(select, lambda letter: {REDRIVEN: letter.id})

    async def drop(self, select: Select = everything) -> int:
        """Delete dead letters and return how many. The events of a parked key go on without them."""
        return await self._move(select, None)

    async def _move(self, select: Select, marks: Callable[[DeadLetter], dict[str, str]] | None) -> int:
        moved = 0
        async with self._opened() as (queue, own):
            async for message, letter in _browse(queue, MAX_BROWSED):
                if not select(letter):
                    continue
                if marks is not None:
                    await _send(own, message.body, own_headers(message.headers) | marks(letter))
                else:
                    await _send(own, b"", {DROPPED: letter.id, "ce-partitionkey": letter.key})
                await message.ack()
                moved += 1
        return moved

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[AbstractQueue, OwnExchange]]:
        connection = await self._connect(self._url, f"{self._names.dead}-tool")
        try:
            own = OwnExchange(self._names)
            await own.open(connection)
            channel = await connection.channel(publisher_confirms=False)
            yield await channel.get_queue(self._names.dead), own
        finally:
            # The broker returns what was not acknowledged to its position.
            await close(connection)


async def _send(own: OwnExchange, body: bytes, headers: Headers) -> None:
    """Send a message to the subscriber past its main queue, which may wait for this message."""
    try:
        await own.publish(CONTROL, body, headers)
    except DeliveryError:  # a subscriber of an earlier release has no such way
        await own.publish(MAIN, body, headers)


async def _browse(queue: AbstractQueue, limit: int) -> AsyncIterator[tuple[AbstractIncomingMessage, DeadLetter]]:
    """Yield the messages that the queue has now: a redriven event may die again meanwhile."""
    waiting = queue.declaration_result.message_count or 0
    for _ in range(min(waiting, limit)):
        message = await queue.get(fail=False, timeout=GET_TIMEOUT)
        if message is None:
            return
        yield message, _letter(message)


def _letter(message: AbstractIncomingMessage) -> DeadLetter:
    texts = {name: str(value) for name, value in message.headers.items()}
    return DeadLetter(
        id=texts.get("ce-id", ""),
        type=texts.get("ce-type", ""),
        key=texts.get("ce-partitionkey", ""),
        sequence=texts.get("ce-sequence", "").lstrip("0"),
        time=texts.get("ce-time", ""),
        reason=texts.get(REASON, "limit"),
        error=texts.get(ERROR, ""),
        attempts=int(texts.get(ATTEMPTS, "0")),
        died_at=texts.get(DIED_AT, ""),
        data=message.body,
    )
