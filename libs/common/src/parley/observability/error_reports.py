"""Reports of unexpected errors to Sentry: an optional package, off by default, and never with texts.

A report has the type of the error, the lines of code of its traceback, and the service, event and request id of the log
entry. It has no message, variable, header, body, address, breadcrumb or name of the machine.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from sentry_sdk.types import Event

EXTRA = "parley-common[sentry]"
TAGS = ("service", "event", "request_id", "task")
"""Fields of a log entry that its report has."""
FLUSH_TIMEOUT = 2.0
"""Seconds at the exit for reports that wait."""
KEPT = frozenset({"event_id", "timestamp", "platform", "level", "release", "environment", "tags", "exception"})
KEPT_OF_FRAME = frozenset({"filename", "function", "lineno", "module", "in_app"})

LogProcessor = Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]


class ErrorReportOptions(TypedDict):
    """Arguments of ``open_error_reports``."""

    dsn: str | None
    environment: str
    release: str


@contextlib.contextmanager
def open_error_reports(*, dsn: str | None, environment: str, release: str) -> Iterator[LogProcessor | None]:
    """Yield a processor of log entries that reports those with an exception; None without a DSN.

    Exits with status 2 if the optional package is missing or the DSN is invalid.
    """
    if not dsn:
        yield None
        return
    if importlib.util.find_spec("sentry_sdk") is None:
        sys.stderr.write(f"SENTRY_DSN: install the package {EXTRA}, or unset it\n")
        sys.exit(2)
    import sentry_sdk
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn,
            environment=environment,
            release=release,
            server_name="",
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            before_send=without_texts,
        )
    except BadDsn:
        sys.stderr.write("SENTRY_DSN: is not a DSN of Sentry\n")
        sys.exit(2)
    try:
        yield report
    finally:
        sentry_sdk.get_client().close(timeout=FLUSH_TIMEOUT)


def report(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Report the exception of a log entry, if it has one."""
    found = entry.get("exc_info")
    error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        import sentry_sdk

        with sentry_sdk.new_scope() as scope:
            scope.set_tags({name: str(entry[name]) for name in TAGS if entry.get(name)})
            scope.capture_exception(error)
    return entry


def without_texts(event: "Event", _hint: dict[str, Any]) -> "Event":
    """Return only what a report may have."""
    kept: Event = {name: value for name, value in event.items() if name in KEPT}  # type: ignore[assignment]
    for each in kept.get("exception", {}).get("values", ()):
        each["value"] = ""
        each.pop("mechanism", None)
        for frame in each.get("stacktrace", {}).get("frames", ()):
            for name in set(frame) - KEPT_OF_FRAME:
                del frame[name]
    return kept
