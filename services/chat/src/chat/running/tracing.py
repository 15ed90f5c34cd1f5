"""Trace span of a turn, from the start of its runner to its stored end."""

import contextlib
from collections.abc import Iterator

import structlog

from chat.running.turn_log import TurnLog
from parley.observability import tracing
from parley.observability.tracing import Span, Tracer


@contextlib.contextmanager
def turn_span(tracer: Tracer | None, log: TurnLog) -> Iterator[None]:
    """Trace a turn while the context is entered. Without a tracer, do nothing."""
    if tracer is None:
        yield
        return
    turn = log.turn
    span = tracer.start_span("turn", attributes={"parley.turn.id": str(turn.id), "parley.model": turn.model})
    if turn.conversation_id is not None:
        span.set_attribute("gen_ai.conversation.id", str(turn.conversation_id))
    structlog.contextvars.bind_contextvars(**tracing.log_ids(span))
    try:
        with tracing.use_span(span):
            yield
    finally:
        _end(span, log)


def _end(span: Span, log: TurnLog) -> None:
    turn = log.turn
    span.set_attribute("parley.turn.status", turn.status if log.state == "ended" else log.state)
    span.set_attribute("parley.turn.cached", turn.cached)
    if turn.finish_reason is not None:
        span.set_attribute("parley.turn.finish_reason", turn.finish_reason)
    if turn.time_to_first_token_ms is not None:
        span.set_attribute("parley.turn.time_to_first_token_ms", turn.time_to_first_token_ms)
    if turn.error is not None:
        tracing.mark_failed(span, turn.error.code)
    span.end()
