"""Typed handlers of events, by type and version."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode_as
from parley_events.models import EventData

E = TypeVar("E", bound=EventData)
TypedHandler: TypeAlias = Callable[[E, CloudEvent], Awaitable[None]]
Filter: TypeAlias = Callable[[E], bool]


class EventHandlers:
    """One handler for each model."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, int], tuple[type[EventData], TypedHandler[Any], Filter[Any] | None]] = {}

    def on(self, model: type[E], *, where: Filter[E] | None = None) -> Callable[[TypedHandler[E]], TypedHandler[E]]:
        """Register the handler of a model's events, which is called with the data and the envelope.

        Events for whose data ``where`` returns False are skipped. Raise ``ValueError`` if the model has a handler
        already, which this one would replace.
        """

        def register(handler: TypedHandler[E]) -> TypedHandler[E]:
            if any((name, model.schema_version) in self._handlers for name in model.names):
                raise ValueError(f"{model.__name__} already has a handler. Handle all of its events in that one.")
            for name in model.names:
                self._handlers[name, model.schema_version] = (model, handler, where)
            return handler

        return register

    def names(self) -> tuple[str, ...]:
        """Return the event types that have a handler, sorted."""
        return tuple(sorted({name for name, _ in self._handlers}))

    async def handle(self, event: CloudEvent) -> None:
        """Call the handler of one event. Raise ``Rejected`` if the data does not fit the handler's model."""
        found = self._handlers.get((event.name, event.version))
        if found is None:
            return
        model, handler, where = found
        data = decode_as(model, event)
        if where is None or where(data):
            await handler(data, event)
