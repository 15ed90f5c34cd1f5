"""Structured logs: one JSON object a line, secrets redacted, service and request id from context variables."""

import contextlib
import json
import logging
import socket
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import orjson
import structlog
from structlog.typing import Processor

from parley.observability.log_file import RotatingLogFile

REDACTED = "[redacted]"
_SECRET_WORDS = ("password", "secret", "token", "authorization", "api_key", "cookie")
_EVENTS_LOGGER = "parley_events"
"""Logger of ``parley_events``, which uses the standard library and logs events with fields as Parley does."""
_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_NOT_SECRET = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "max_tokens", "tokens", "tokens_used"})


_output: "LossyOutput | None" = None
"""Where the process logs; None is standard output."""


def configure_process(
    level: str, style: Literal["json", "console"], path: Path | None, report: Processor | None = None
) -> None:
    """Configure logging of a service's process, to standard output or to a rotated file; exit if it is unusable.

    ``report`` gets each entry before its exception becomes text.
    """
    try:
        file = RotatingLogFile(path) if path else None
    except OSError as error:
        sys.stderr.write(f"LOG_FILE: cannot write to {path}: {error.strerror}\n")
        sys.exit(2)
    configure(level, style, file, report)


def write_lines(data: bytes) -> None:
    """Write complete lines to where the process logs, at once."""
    output = _output or LossyOutput(sys.stdout.buffer)
    output.write(data)
    output.flush()


class LossyOutput:
    """Where the process logs. Entries are lost while their disk is full, but what is logged goes on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        """Write whole entries, or nothing."""
        with contextlib.suppress(OSError):
            self._file.write(data)

    def flush(self) -> None:
        """Write what the file has buffered."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def configure(
    level: str = "info",
    style: Literal["json", "console"] = "json",
    file: BinaryIO | None = None,
    report: Processor | None = None,
) -> None:
    """Configure logging of the process, to standard output or ``file``; call once at startup."""
    global _output  # noqa: PLW0603 - logging is configured once in a process
    output = LossyOutput(file or sys.stdout.buffer)
    _output = output if file else None
    # Local variables in tracebacks may contain passwords and tokens.
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
            *([report] if report else []),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", output)),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    logging.getLogger(_EVENTS_LOGGER).setLevel(level.upper())
    for noisy in ("aio_pika", "aiormq", "opentelemetry.exporter"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def log_exception(event: str) -> None:
    """Log the exception that is being handled, with its traceback and without local variables."""
    structlog.get_logger().exception(event)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose names mark them as secrets, also in nested objects."""
    for name, value in event.items():
        if _is_secret(str(name).lower()):
            event[name] = REDACTED
        elif isinstance(value, dict):
            event[name] = redact(_logger, _method, dict(value))
    return event


def _is_secret(name: str) -> bool:
    return name not in _NOT_SECRET and any(word in name for word in _SECRET_WORDS)


class _Forward(logging.Handler):
    """Forwards log records of libraries to structlog, without their arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == _EVENTS_LOGGER:
            fields = {name: value for name, value in vars(record).items() if name not in _RECORD_ATTRIBUTES}
            # A running subscriber has put the fields into the message; the name of the event is beside it then.
            name = str(fields.pop("event", record.msg))
            structlog.get_logger().log(record.levelno, name, exc_info=record.exc_info, **fields)
            return
        error = record.exc_info[1] if record.exc_info else None
        if record.name == "asyncio" and isinstance(error, socket.gaierror):
            return  # the look-up failed after its timeout; the caller has reported the timeout
        # Arguments are left out because they may contain URLs with passwords.
        level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(structlog.get_logger(), level)(
            "library", logger=record.name, text=str(record.msg), error=type(error).__name__ if error else None
        )


def _dumps(event: dict[str, Any], **_options: Any) -> bytes:
    try:
        return orjson.dumps(event, default=str)
    except TypeError:
        # Unpaired surrogates or non-string keys: a garbled line is better than a failed request.
        return json.dumps(event, default=str, skipkeys=True).encode()


def _to_bytes(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    head = f"{event.pop('ts')} {event.pop('level'):7} {event.pop('service', '-'):8} {event.pop('event')}"
    traceback = event.pop("exception", "")
    rest = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{head} {rest}\n{traceback}".rstrip().encode(errors="backslashreplace")
