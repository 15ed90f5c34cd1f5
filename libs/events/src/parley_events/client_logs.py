"""Logs of a subscriber in an application with plain `logging`: readable lines, and no tracebacks of the AMQP client."""

import contextlib
import logging
from collections.abc import Iterator

PACKAGE = "parley_events"
FIELDS = (
    *(
        "queue",
        "connection",
        "source",
        "type",
        "id",
        "key",
        "first",
        "last",
        "sequence",
        "offset",
        "next_offset",
        "attempt",
        "retry_in_s",
        "cause",
    ),
    *("parked", "reason", "error"),
)


class FieldsInMessage(logging.Filter):
    """Appends the fields of a record, which most formatters leave out, to its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message once; let every record pass."""
        values = vars(record)
        if "event" not in values:
            name = values["event"] = record.getMessage()
            shown = [f"{field}={values[field]}" for field in FIELDS if values.get(field) not in {None, ""}]
            record.msg, record.args = " ".join([name, *shown]), None
        return True


@contextlib.contextmanager
def readable_logs() -> Iterator[None]:
    """Show fields in messages while the context is entered; the attribute ``event`` of a record is its name alone.

    The AMQP client logs a traceback for each attempt of an outage, which this package reports once: its loggers become
    silent, unless the application has set their levels.
    """
    for name in ("aiormq", "aio_pika"):
        client = logging.getLogger(name)
        if client.level == logging.NOTSET:
            client.setLevel(logging.CRITICAL)
    fields = FieldsInMessage()
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith(PACKAGE)]
    for logger in loggers:
        logger.addFilter(fields)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(fields)
