"""Route table: templates, scopes and public routes."""

import re

import pytest

from gateway.route_table import RouteTable
from gateway.routes import all_routes, route
from gateway_testing.operations import keyed_operations
from parley import errors

TABLE = RouteTable(all_routes())


def test_no_internal_path_is_routed() -> None:
    assert not [r.template for r in TABLE.routes if "internal" in r.template or "metrics" in r.template]


def test_only_these_routes_are_public() -> None:
    assert {r.template for r in TABLE.routes if r.scope is None} == {
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/api/v1/auth/register",
        "/api/v1/auth/token",
        "/api/v1/auth/revoke",
        "/api/v1/auth/password-reset",
        "/api/v1/auth/password-reset/request",
        "/api/v1/auth/email-verification",
        "/api/v1/auth/erasures/{id}",
    }


def test_keyed_are_the_operations_that_document_an_idempotency_key() -> None:
    found = {
        f"{method} {re.sub(r'{[^}]*}', '{}', each.template)}"
        for each in all_routes()
        if each.keyed
        for method in each.methods
    }
    assert {name for name in found if name.startswith("POST ")} == keyed_operations()


def test_a_template_matches_an_id_only() -> None:
    assert TABLE.find("GET", "/api/v1/conversations/01a2-b").template == "/api/v1/conversations/{id}"
    for path in (
        "/api/v1/conversations/",
        "/api/v1/conversations/a%20b",
        "/api/v1/conversations/..",
        "/api/v1/conversations/{id}",
    ):
        with pytest.raises(errors.NotFound):
            TABLE.find("GET", path)


def test_an_exact_path_wins_over_a_template() -> None:
    assert TABLE.find("POST", "/api/v1/conversations/import").template == "/api/v1/conversations/import"


def test_routes_have_the_scopes_of_their_service() -> None:
    assert {(r.service, r.scope) for r in TABLE.routes} == {
        ("auth", None), ("auth", ""), ("auth", "account"), ("auth", "admin"),
        ("chat", ""), ("chat", "chat:write"), ("chat", "history:read"), ("chat", "history:write"),
        ("chat", "admin"),
        ("history", "history:read"), ("history", "history:write"), ("history", "events:read"), ("history", "admin"),
        ("webhooks", ""), ("webhooks", "admin"),
    }  # fmt: skip


def test_a_duplicate_route_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        RouteTable([route("GET", "/a", "auth", None), route("GET POST", "/a", "chat", None)])


def test_there_is_one_label_per_template() -> None:
    assert len(list(TABLE.templates())) == len({r.template for r in TABLE.routes}) + 1


def test_a_route_of_openai_that_looks_like_an_id_is_not_found() -> None:
    table = RouteTable(all_routes())
    with pytest.raises(errors.NotFound, match="not offered"):
        table.find("POST", "/v1/responses/input_tokens")
    with pytest.raises(errors.MethodNotAllowed):
        table.find("POST", "/v1/responses/resp_1")
