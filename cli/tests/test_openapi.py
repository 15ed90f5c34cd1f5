"""What the OpenAPI document says about every operation."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.routes import PUBLIC, all_routes
from parley_cli.documents.errors import catalogue
from parley_cli.documents.openapi import errors

TEXT = (Path(errors.__file__).parents[5] / "services/gateway/src/gateway/local/openapi.json").read_text("utf-8")
DOCUMENT: dict[str, Any] = json.loads(TEXT)
MAX_BYTES = 750_000
SCOPES = {
    (method.lower(), re.sub(r"{\w+}", "{}", route.template)): route.scope
    for route in all_routes()
    for method in route.methods
}


CHECK_SCOPES = {path for path in DOCUMENT["paths"] if path.startswith("/api/v1/webhooks")}
"""Paths whose service checks the scope itself, because one of two suffices."""


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def find(reference: str) -> Any:
    found: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = find(value["$ref"]) if "$ref" in value else value
    return found


def codes_of(operation: dict[str, Any]) -> dict[str, set[str]]:
    return {
        status: {
            code for content in resolved(response).get("content", {}).values() for code in content.get("examples", {})
        }
        for status, response in operation["responses"].items()
    }


def check_example(schema: Any, example: Any) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(example)


OPERATIONS = dict(operations())


def test_the_document_stays_small() -> None:
    assert len(TEXT.encode()) < MAX_BYTES


def test_every_reference_has_its_component() -> None:
    for reference in set(re.findall(r'"(#/[^"]+)"', TEXT)):
        assert find(reference) is not None


def test_every_operation_lists_the_errors_of_its_kind_with_their_status() -> None:
    statuses = {kind.code: str(kind.status) for kind in catalogue()}
    for name, operation in OPERATIONS.items():
        codes = codes_of(operation)
        assert all(statuses[code] == status for status, listed in codes.items() for code in listed), name
        assert "rate_limited" in codes["429"], name
        assert "draining" in codes["503"], name
        assert "internal_error" in codes["500"], name
        assert any(status.startswith(("1", "2")) for status in codes), name
        scope = SCOPES[name.partition(" ")[0], re.sub(r"{\w+}", "{}", name.partition(" ")[2])]
        assert ("token_expired" in codes.get("401", ())) == (scope is not PUBLIC), name
        assert ("insufficient_scope" in codes.get("403", ())) == bool(scope or name.split()[1] in CHECK_SCOPES), name


@pytest.mark.parametrize(
    ("name", "status", "codes"),
    [
        ("post /api/v1/chat", "404", {"conversation_not_found", "message_not_found", "model_not_found"}),
        ("post /api/v1/chat", "502", {"provider_error", "upstream_error"}),
        ("post /api/v1/chat/stream", "409", {"turn_in_progress"}),
        ("post /v1/chat/completions", "429", {"quota_exceeded", "provider_rate_limited", "too_many_streams"}),
        ("patch /api/v1/conversations/{conversation_id}", "412", {"precondition_failed"}),
        ("post /api/v1/auth/register", "403", {"registration_closed"}),
        ("delete /api/v1/auth/me", "401", {"reauthentication_required"}),
        ("get /api/v1/events", "410", {"cursor_expired"}),
    ],
)
def test_an_operation_lists_its_own_errors(name: str, status: str, codes: set[str]) -> None:
    assert codes <= codes_of(OPERATIONS[name])[status]


def test_every_body_has_an_example_that_fits_its_schema() -> None:
    missing = []
    for name, operation in OPERATIONS.items():
        for each in (operation.get("requestBody", {}), *map(resolved, operation["responses"].values())):
            for media_type, content in each.get("content", {}).items():
                schema = resolved(content["schema"])
                examples = [resolved(example)["value"] for example in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else schema.get("examples", [])
                for example in examples:
                    check_example(schema, example)
                if not examples and schema.get("format") != "binary":
                    missing.append(f"{name}: {media_type}")
    assert missing == []


def test_every_event_and_frame_has_an_example_that_fits_its_schema() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if name.endswith(("Event", "Frame")):
            (example,) = schema["examples"]
            check_example(schema, example)


def test_every_response_has_the_headers_that_the_gateway_adds() -> None:
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            headers = resolved(response)["headers"].keys()
            assert headers >= {"X-Request-ID", "RateLimit", "RateLimit-Policy"}, (name, status)
            assert status not in ("429", "503") or "Retry-After" in headers, (name, status)


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("post /api/v1/chat", {"Idempotency-Key", "Prefer", "Cache-Control"}),
        ("post /api/v1/chat/stream", {"Idempotency-Key", "Cache-Control"}),
        ("post /v1/chat/completions", {"Idempotency-Key", "Cache-Control"}),
        ("get /api/v1/chat/turns/{turn_id}/stream", {"Last-Event-ID"}),
        ("get /api/v1/events", {"Last-Event-ID"}),
        ("patch /api/v1/conversations/{conversation_id}", {"If-Match"}),
        ("post /api/v1/conversations/import", {"Idempotency-Key"}),
        ("post /api/v1/auth/api-keys", {"Idempotency-Key"}),
    ],
)
def test_an_operation_names_the_request_headers_that_it_reads(name: str, headers: set[str]) -> None:
    given = [resolved(each) for each in OPERATIONS[name]["parameters"]]
    assert {each["name"] for each in given if each["in"] == "header"} == headers


def test_responses_with_a_turn_name_its_headers() -> None:
    for name in ("post /api/v1/chat", "post /api/v1/chat/stream", "get /api/v1/chat/turns/{turn_id}"):
        headers = OPERATIONS[name]["responses"]["200"]["headers"].keys()
        assert headers >= {"X-Turn-Id", "X-Conversation-Id", "Location"}, name
        assert ("x-ratelimit-remaining-tokens" in headers) == name.startswith("post"), name


def test_streams_and_the_websocket_name_the_schemas_of_what_they_carry() -> None:
    stream = OPERATIONS["post /api/v1/chat/stream"]["responses"]["200"]["content"]["text/event-stream"]
    assert [each["$ref"].rpartition("/")[2] for each in stream["x-events"]["message"]] == [
        "TurnStartedEvent",
        "TurnDeltaEvent",
        "TurnFinishedEvent",
    ]
    socket = OPERATIONS["get /api/v1/chat/ws"]
    assert len(socket["x-client-frames"]) == 4
    assert {"4401", "4403", "4408"} <= socket["x-close-codes"].keys()


def test_a_summary_is_a_sentence_of_plain_words() -> None:
    for name, operation in OPERATIONS.items():
        assert re.fullmatch(r"[A-Z][^\n]{6,110}", operation["summary"]), name
        assert not operation["summary"].istitle(), name
