"""Structured logs: one JSON object a line, without secrets."""

import io
import json
import logging
import socket
from collections.abc import Iterator

import pytest
import structlog

from parley.observability import logs
from parley_events.client_logs import readable_logs


@pytest.fixture(autouse=True)
def unbound_context() -> Iterator[None]:
    yield
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def file() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def as_json(file: io.BytesIO) -> io.BytesIO:
    logs.configure("info", "json", file)
    return file


def lines(file: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_a_line_is_an_object_with_time_level_event_and_context(as_json: io.BytesIO) -> None:
    structlog.contextvars.bind_contextvars(service="chat")
    structlog.get_logger().info("turn_finished", tokens=3)
    (line,) = lines(as_json)
    assert str(line.pop("ts")).endswith("Z")
    assert line == {"level": "info", "event": "turn_finished", "service": "chat", "tokens": 3}


def test_lines_below_the_level_are_not_written(as_json: io.BytesIO) -> None:
    structlog.get_logger().debug("detail")
    assert not lines(as_json)


@pytest.mark.parametrize(
    "name", ["password", "new_password", "client_secret", "access_token", "Authorization", "x_api_key", "cookie"]
)
def test_values_named_as_secrets_are_redacted_also_in_nested_objects(as_json: io.BytesIO, name: str) -> None:
    structlog.get_logger().info("x", **{name: "hunter2"}, headers={name: "hunter2", "deeper": {name: "hunter2"}})
    assert b"hunter2" not in as_json.getvalue()
    assert lines(as_json)[0][name] == logs.REDACTED


def test_redaction_does_not_change_the_logged_object(as_json: io.BytesIO) -> None:
    headers = {"authorization": "Bearer x"}
    structlog.get_logger().info("x", headers=headers)
    assert headers == {"authorization": "Bearer x"}


def test_token_counts_are_not_secrets(as_json: io.BytesIO) -> None:
    structlog.get_logger().info("x", prompt_tokens=1, total_tokens=2)
    assert lines(as_json)[0]["total_tokens"] == 2


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_names_the_error_and_shows_no_local_variables(file: io.BytesIO, style: str) -> None:
    logs.configure("info", "console" if style == "console" else "json", file)

    def fail() -> None:
        password = f"hunter{2}"
        raise LookupError(len(password))

    try:
        fail()
    except LookupError:
        structlog.get_logger().exception("failed")
    assert b"LookupError" in file.getvalue()
    assert b"hunter2" not in file.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_invalid_unicode_and_unusual_keys_do_not_prevent_logging(file: io.BytesIO, style: str) -> None:
    logs.configure("info", "console" if style == "console" else "json", file)
    structlog.get_logger().info("x", text="lone \ud800", odd={1: object()})
    assert b"lone" in file.getvalue()


def test_log_records_of_libraries_are_forwarded_without_arguments(as_json: io.BytesIO) -> None:
    logging.getLogger("library").warning("cannot reach %s", "amqp://user:hunter2@host")
    (line,) = lines(as_json)
    assert (line["event"], line["logger"], line["text"]) == ("library", "library", "cannot reach %s")
    assert b"hunter2" not in as_json.getvalue()


def test_lookups_of_names_that_end_after_their_timeout_are_not_logged(as_json: io.BytesIO) -> None:
    for error in (socket.gaierror(-3, "Temporary failure in name resolution"), OSError("another error")):
        logging.getLogger("asyncio").error("Future exception was never retrieved", exc_info=error)
    assert [line["error"] for line in lines(as_json)] == ["OSError"]


def test_records_of_the_events_package_keep_their_fields_and_the_context(as_json: io.BytesIO) -> None:
    structlog.contextvars.bind_contextvars(service="chat")
    logging.getLogger("parley_events.consuming.consumer").warning("consumer_lost", extra={"queue": "chat.lifecycle"})
    (line,) = lines(as_json)
    assert str(line.pop("ts")).endswith("Z")
    assert line == {"level": "warning", "event": "consumer_lost", "service": "chat", "queue": "chat.lifecycle"}


def test_records_of_the_events_package_are_the_same_while_a_subscriber_runs_in_the_process(as_json: io.BytesIO) -> None:
    logger = logging.getLogger("parley_events.consuming.consumer")
    with readable_logs():
        logger.warning("consumer_lost", extra={"queue": "chat.lifecycle"})
    (line,) = lines(as_json)
    assert (line["event"], line["queue"]) == ("consumer_lost", "chat.lifecycle")


def test_records_of_the_events_package_are_written_from_the_configured_level_on(file: io.BytesIO) -> None:
    logs.configure("warning", "json", file)
    logging.getLogger("parley_events.connection").info("broker_connected")
    logs.configure("info", "json", file)
    logging.getLogger("parley_events.connection").info("broker_connected", extra={"connection": "parley-chat"})
    assert [line["connection"] for line in lines(file)] == ["parley-chat"]


def test_a_traceback_of_the_events_package_is_rendered(as_json: io.BytesIO) -> None:
    error = LookupError("gone")
    logging.getLogger("parley_events.consuming.consumer").error("consumer_failed", exc_info=error, extra={"queue": "q"})
    (line,) = lines(as_json)
    assert (line["event"], line["level"], line["queue"]) == ("consumer_failed", "error", "q")
    assert "LookupError" in str(line["exception"])


def test_errors_that_parley_logs_itself_are_not_forwarded(as_json: io.BytesIO) -> None:
    for name in ("aio_pika.connection", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
        logging.getLogger(name).error("gone")
    assert lines(as_json) == []
