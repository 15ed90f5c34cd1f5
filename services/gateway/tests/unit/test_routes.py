"""The route table: what exists, what it asks for, and what does not exist."""

import pytest

from gateway.routes import RouteTable, all_routes, route
from parley import errors

TABLE = RouteTable(all_routes())


def test_nothing_internal_is_in_the_table() -> None:
    assert not [r.template for r in TABLE.routes if "internal" in r.template or "metrics" in r.template]


def test_only_these_routes_need_no_credential() -> None:
    assert {r.template for r in TABLE.routes if r.scope is None} == {
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/api/v1/auth/register",
        "/api/v1/auth/token",
        "/api/v1/auth/revoke",
        "/api/v1/auth/password-reset",
        "/api/v1/auth/password-reset/request",
        "/api/v1/auth/erasures/{id}",
    }


def test_a_template_takes_an_id_and_nothing_else() -> None:
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


def test_each_service_and_scope_is_asked_for_where_it_belongs() -> None:
    assert {(r.service, r.scope) for r in TABLE.routes} == {
        ("auth", None), ("auth", ""), ("auth", "account"), ("auth", "admin"),
        ("chat", ""), ("chat", "chat:write"),
        ("history", "history:read"), ("history", "history:write"), ("history", "events:read"),
    }  # fmt: skip


def test_a_line_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        RouteTable([route("GET", "/a", "auth", None), route("GET POST", "/a", "chat", None)])


def test_labels_are_as_many_as_templates() -> None:
    assert len(list(TABLE.templates())) == len({r.template for r in TABLE.routes}) + 1
