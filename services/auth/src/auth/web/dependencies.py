"""Typed access of routes to the services that wiring has opened."""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import TypeVar

from fastapi import Request

T = TypeVar("T")


def provide(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """Return a dependency that resolves to the opened service of class ``kind``."""

    # ``async``, because FastAPI calls other functions in a thread.
    async def dependency(request: Request) -> T:
        services = request.app.state.wired
        for field in fields(services):
            service = getattr(services, field.name)
            if isinstance(service, kind):
                return service
        raise LookupError(f"{type(services).__name__} has no {kind.__name__}")

    return dependency
