"""Structured logs: one JSON object a line, secrets redacted, the service and request named by context variables."""

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, BinaryIO, Literal

import orjson
import structlog

REDACTED = "[redacted]"
_SECRET_WORDS = ("password", "secret", "token", "authorization", "api_key", "cookie")
_EVENTS_LOGGER = "parley_events"
"""The logger of a package that uses the standard module, with event names and fields as here."""
_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_NOT_SECRET = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "max_tokens", "tokens", "tokens_used"})


def configure(level: str = "info", style: Literal["json", "console"] = "json", file: BinaryIO | None = None) -> None:
    """Set up logging for the whole process, to standard output or a file; called once, by whoever runs it."""
    # Local variables of a traceback are where passwords and tokens are.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderers: list[Any] = (
        [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer(serializer=_dumps)]
        if style == "json"
        else [structlog.processors.format_exc_info, _to_bytes]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            redact,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(file or sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    logging.getLogger(_EVENTS_LOGGER).setLevel(level.upper())
    for told_by_us in ("aio_pika", "aiormq", "opentelemetry.exporter"):
        logging.getLogger(told_by_us).setLevel(logging.CRITICAL)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank every value whose name says that it is a secret, in objects inside the line too."""
    for name, value in event.items():
        if _is_secret(str(name).lower()):
            event[name] = REDACTED
        elif isinstance(value, dict):
            event[name] = redact(_logger, _method, dict(value))
    return event


def _is_secret(name: str) -> bool:
    return name not in _NOT_SECRET and any(word in name for word in _SECRET_WORDS)


def bind(**values: Any) -> None:
    """Add values to every log line of the current task."""
    structlog.contextvars.bind_contextvars(**values)


class _Forward(logging.Handler):
    """Hands what libraries log with the standard module to structlog, without their texts' arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's template: arguments may hold addresses with passwords."""
        if record.name.partition(".")[0] == _EVENTS_LOGGER:
            fields = {name: value for name, value in vars(record).items() if name not in _RECORD_ATTRIBUTES}
            structlog.get_logger().log(record.levelno, str(record.msg), exc_info=record.exc_info, **fields)
            return
        level = "error" if record.levelno >= logging.ERROR else "warning"
        error = record.exc_info[1] if record.exc_info else None
        getattr(structlog.get_logger(), level)(
            "library", logger=record.name, text=str(record.msg), error=type(error).__name__ if error else None
        )


def _dumps(event: dict[str, Any], **_options: Any) -> bytes:
    try:
        return orjson.dumps(event, default=str)
    except TypeError:
        # Lone surrogates, or keys that are no strings: a line that reads badly is better than a request that fails.
        return json.dumps(event, default=str, skipkeys=True).encode()


def _to_bytes(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    head = f"{event.pop('ts')} {event.pop('level'):7} {event.pop('service', '-'):8} {event.pop('event')}"
    traceback = event.pop("exception", "")
    rest = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{head} {rest}\n{traceback}".rstrip().encode(errors="backslashreplace")
