"""`parley events webhooks` against a server that records requests."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from parley_cli.main import build

ID, DELIVERY = "01a200ac-0000-7000-8000-000000000001", "01a200ad-0000-7000-8000-000000000001"
WEBHOOK = {
    "id": ID,
    "url": "https://example.org/hooks",
    "events": ["conversation.#"],
    "status": "disabled",
    "disabled_reason": "gone",
    "last_delivery": {"at": "2026-11-28T10:01:00.000Z", "status": "dead"},
}
FAILED = {
    "id": DELIVERY,
    "event_id": DELIVERY,
    "event_type": "io.parley.conversation.turn.completed.v1",
    "status": "failed",
    "attempt": 2,
    "next_attempt_at": "2026-11-28T10:02:00.000Z",
    "response_status": 500,
    "latency_ms": 31,
    "error": "status_500",
    "created_at": "2026-11-28T10:01:00.000Z",
}
PROBLEM = {
    "code": "validation_failed",
    "detail": "1 field is invalid.",
    "errors": [{"pointer": "/url", "code": "invalid_format", "detail": "Must begin with https://."}],
}


class ScriptedApi(ThreadingHTTPServer):
    """Responds as told; records method, path, body and token of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.responses: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.tokens: set[str | None] = set()

    def call(self, *arguments: str, token: str = "secret-token") -> Result:
        address = f"http://127.0.0.1:{self.server_port}"
        variables = {"PARLEY": address, "TOKEN": token}
        return CliRunner().invoke(build(), ["events", "webhooks", *arguments], env=variables)


class Handler(BaseHTTPRequestHandler):
    """Handles every method."""

    def respond(self) -> None:
        assert isinstance(self.server, ScriptedApi)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.requests.append((self.command, self.path, json.loads(body) if body else None))
        self.server.tokens.add(self.headers["authorization"])
        status, found = self.server.responses.pop(0)
        payload = b"" if found is None else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_DELETE = respond  # noqa: N815 - names of the base class

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[ScriptedApi]:
    with ScriptedApi() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_webhook_is_created_and_its_secret_printed(server: ScriptedApi) -> None:
    server.responses = [(201, WEBHOOK | {"secret": "whsec_AAAA"})]
    result = server.call("create", "https://example.org/hooks", "--event", "conversation.#", "--ordered")
    assert (result.exit_code, result.stdout) == (0, f"webhook {ID}\nsecret  whsec_AAAA\n"), result.output
    body = {"url": "https://example.org/hooks", "events": ["conversation.#"], "ordered": True, "scope": "own"}
    assert server.requests == [("POST", "/api/v1/webhooks", body)]
    assert server.tokens == {"Bearer secret-token"}


def test_lists_follow_the_pages_up_to_the_limit(server: ScriptedApi) -> None:
    server.responses = [
        (200, {"data": [WEBHOOK] * 100, "next_cursor": "next"}),
        (200, {"data": [WEBHOOK] * 20, "next_cursor": "more"}),
    ]
    result = server.call("list", "--limit", "120")
    assert result.stdout.splitlines()[-1] == "120 webhooks"
    assert f"{ID} disabled (gone)    dead      https://example.org/hooks conversation.#" in result.stdout
    paths = [path for _, path, _ in server.requests]
    assert paths == ["/api/v1/webhooks?limit=100", "/api/v1/webhooks?limit=20&cursor=next"]


def test_deliveries_are_filtered_and_show_the_last_attempt(server: ScriptedApi) -> None:
    server.responses = [(200, {"data": [FAILED], "next_cursor": None})]
    result = server.call("deliveries", ID, "--status", "failed", "--event-id", DELIVERY)
    assert "failed    conversation.turn.completed.v1 attempt 2 status_500 31 ms next 2026-11-28T10:02" in result.stdout
    query = f"status=failed&event_id={DELIVERY}&limit=100"
    assert server.requests == [("GET", f"/api/v1/webhooks/{ID}/deliveries?{query}", None)]


@pytest.mark.parametrize(("command", "status"), [("pause", "paused"), ("resume", "active")])
def test_a_webhook_is_paused_and_resumed(server: ScriptedApi, command: str, status: str) -> None:
    server.responses = [(200, WEBHOOK | {"status": status})]
    assert server.call(command, ID).stdout == f"{ID} is {status}.\n"
    assert server.requests == [("PATCH", f"/api/v1/webhooks/{ID}", {"status": status})]


def test_a_webhook_is_tested(server: ScriptedApi) -> None:
    server.responses = [(202, FAILED)]
    assert server.call("test", ID).exit_code == 0
    assert server.requests == [("POST", f"/api/v1/webhooks/{ID}/test", None)]


def test_a_webhook_is_deleted_only_after_a_confirmation(server: ScriptedApi) -> None:
    assert server.call("delete", ID).exit_code != 0
    assert server.requests == []
    server.responses = [(204, None)]
    assert server.call("delete", ID, "--yes").exit_code == 0
    assert server.requests == [("DELETE", f"/api/v1/webhooks/{ID}", None)]


def test_deliveries_are_sent_again_by_id_or_by_time(server: ScriptedApi) -> None:
    first = {"deliveries": 10_000, "more": True, "attempted_before": "2026-11-28T12:00:00.000Z"}
    server.responses = [(202, FAILED), (202, first), (202, first | {"deliveries": 7, "more": False})]
    assert server.call("redeliver", ID, DELIVERY).stdout == "1 deliveries are sent again.\n"
    times = ("--since", "2026-11-28T10:00:00Z", "--until", "2026-11-28T11:00:00Z")
    assert server.call("redeliver", ID, *times).stdout == "10007 deliveries are sent again.\n"
    body = {"since": "2026-11-28T10:00:00+00:00", "until": "2026-11-28T11:00:00+00:00"}
    assert server.requests == [
        ("POST", f"/api/v1/webhooks/{ID}/deliveries/{DELIVERY}/redeliver", None),
        ("POST", f"/api/v1/webhooks/{ID}/redeliver", body),
        ("POST", f"/api/v1/webhooks/{ID}/redeliver", body | {"attempted_before": first["attempted_before"]}),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("redeliver", ID), "Name the IDs of deliveries, or --since"),
        (("redeliver", ID, DELIVERY, "--since", "2h"), "Name the IDs of deliveries, or --since"),
        (("redeliver", ID, "--since", "yesterday"), "use 30m, 2h, 7d, or a time."),
        (("pause", "../auth/me"), "is not an ID"),
    ],
)
def test_wrong_arguments_send_no_request(server: ScriptedApi, arguments: tuple[str, ...], words: str) -> None:
    result = server.call(*arguments)
    assert (result.exit_code, words in result.stderr) == (2, True), result.output
    assert server.requests == []


def test_nothing_is_sent_without_a_token(server: ScriptedApi) -> None:
    result = server.call("list", token="")
    assert (result.exit_code, "Set the variable TOKEN" in result.stderr) == (2, True)


def test_a_refusal_names_the_code_and_the_fields(server: ScriptedApi) -> None:
    server.responses = [(422, PROBLEM)]
    result = server.call("create", "http://example.org", "--event", "#")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "parley events webhooks: 1 field is invalid. (422 validation_failed)",
        "parley events webhooks: url: Must begin with https://.",
    ]


def test_a_server_that_is_away_or_is_not_parley_is_one_line(server: ScriptedApi) -> None:
    server.responses = [(502, None)]
    assert "The server responded 502." in server.call("list").stderr
    result = server.call("list", "--server", "http://127.0.0.1:9")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "Cannot reach Parley at http://127.0.0.1:9" in result.stderr
