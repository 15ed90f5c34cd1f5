"""Error reports: sent to the configured server, without any text, and off without a DSN."""

import gzip
import io
import json

import pytest
import structlog

from parley.observability import logs
from parley.observability.error_reports import open_error_reports
from parley_testing.http.scripted_server import respond, scripted_server
from parley_testing.waiting import eventually


def fail(secret: str) -> None:
    local = f"{secret}-local"
    raise ValueError(f"{secret}-message {local}")


async def test_a_report_has_the_error_and_its_lines_but_no_text() -> None:
    async with scripted_server(respond(200, b"{}")) as server:
        dsn = f"http://public@127.0.0.1:{server.port}/7"
        with open_error_reports(dsn=dsn, environment="production", release="abc") as report:
            logs.configure("info", "json", io.BytesIO(), report)
            try:
                fail("canary")
            except ValueError:
                structlog.get_logger().exception(
                    "unhandled_error", service="chat", request_id="r-1", path="canary-path"
                )
            structlog.get_logger().error("without_exception", text="canary-text")
            await eventually(lambda: server.journal and server.journal[0].complete)
    (request,) = server.journal
    body = gzip.decompress(bytes(request.body)).decode()
    (event,) = [json.loads(line) for line in body.splitlines() if '"exception"' in line]
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "")
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["tags"] == {"service": "chat", "event": "unhandled_error", "request_id": "r-1"}
    assert (event["release"], event["environment"]) == ("abc", "production")
    assert "canary" not in body


def test_nothing_is_reported_without_a_dsn() -> None:
    with open_error_reports(dsn=None, environment="production", release="abc") as report:
        assert report is None


def test_a_wrong_dsn_ends_the_start_without_showing_it(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(SystemExit) as ended,
        open_error_reports(dsn="canary", environment="production", release="abc"),
    ):
        pass
    assert (ended.value.code, capsys.readouterr().err) == (2, "SENTRY_DSN: is not a DSN of Sentry\n")
