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


@pytest.mark.parametrize(
    "path",
    [
        "gpt-x",
        "ft:gpt-4o-mini:org::id", "meta-llama/Llama-3-8B", "meta-llama%2FLlama-3-8B", "meta-llama%2fLlama-3-8B",
        "accounts/fireworks/models/qwen3%2B1", "@cf/meta/llama-3", "Qwen%202.5%20%28local%29", "%E6%A8%A1%E5%9E%8B/7b",
        ".hidden", "a..b", "a%3Fb%23c",
    ],
)  # fmt: skip
def test_the_id_of_a_model_may_have_slashes_spaces_and_unicode(path: str) -> None:
    for method in ("GET", "HEAD"):
        assert TABLE.find(method, f"/v1/models/{path}").template == "/v1/models/{id}"
    with pytest.raises(errors.MethodNotAllowed):
        TABLE.find("POST", f"/v1/models/{path}")


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "a/", "a//b", "a%2F", "%2Fa", "a%2F%2Fb", "..", ".", "%2e%2e", "a/../b", "a%2f..%2Fb", "a/%2E/b",
        "a/..%20", "%20", "a%00b", "a%0D%0Ab", "a%7Fb", "a%C2%85b", "%E2%80%AEb", "a%5Cb", "a%252Fb", "a%2", "a%zz",
        "a%FF", "%C0%AF", "%ED%A0%80", "a b", "a;b", "a\\b", "{id}",
    ],
)  # fmt: skip
def test_the_id_of_a_model_cannot_be_read_as_another_path(path: str) -> None:
    with pytest.raises(errors.NotFound):
        TABLE.find("GET", f"/v1/models/{path}")


def test_slashes_and_encoded_characters_are_in_ids_of_models_alone() -> None:
    assert [each.template for each in TABLE.routes if each.named] == ["/v1/models/{id}"]
    for path in ("/v1/files/a%2Fb", "/v1/responses/a%20b", "/v1/conversations/a/b", "/api/v1/models/a/b"):
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
