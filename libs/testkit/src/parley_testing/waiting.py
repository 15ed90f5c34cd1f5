"""Waiting for a condition in tests."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

POLL = 0.02


@overload
async def eventually(probe: Callable[[], Awaitable[T | None]], *, within: float = ..., message: str = ...) -> T: ...


@overload
async def eventually(probe: Callable[[], T | None], *, within: float = ..., message: str = ...) -> T: ...


async def eventually(probe: Callable[[], Any], *, within: float = 20.0, message: str = "") -> Any:
    """Return the first true value of ``probe``, which may be async; a failed assertion in it means not yet.

    Raises AssertionError, with the last one's text, when ``within`` seconds have passed.
    """
    deadline = time.monotonic() + within
    failure: AssertionError | None = None
    while True:
        try:
            found = probe()
            value = await found if inspect.isawaitable(found) else found
            if value:
                return value
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {within} s: {failure or probe}") from failure
        await asyncio.sleep(POLL)
