"""Hints about credentials in the wrong place."""

import base64

import pytest

from gateway.access.credential_hints import MAX_PLACES, explain
from gateway.request import Request
from gateway_testing.fakes import make_request
from parley import errors

KEY, TOKEN = "parley_" + "k" * 38, "eyJhbGciOiJFZERTQSJ9.e30.c2ln"
BASIC = base64.b64encode(f"{KEY}:".encode()).decode()


def with_query(query: str) -> Request:
    request = make_request()
    request.query = query.encode()
    return request


@pytest.mark.parametrize(
    ("headers", "place", "kind"),
    [
        ({"authorization": KEY}, "The header `authorization`", "an API key"),
        ({"authorization": f"Token {KEY}"}, "The header `authorization`", "an API key"),
        ({"authorization": f'Bearer "{KEY}"'}, "The header `authorization`", "an API key"),
        ({"authorization": f"Basic {BASIC}"}, "The header `authorization`", "an API key"),
        ({"authorization": TOKEN}, "The header `authorization`", "an access token"),
        ({"authorization": "Bearer prt_abc"}, "The header `authorization`", "a refresh token"),
        ({"authorization": "Bearer sk-proj-abc"}, "The header `authorization`", "a key of another provider"),
        ({"x-api-key": TOKEN}, "The header `x-api-key`", "an access token"),
        ({"x-api-key": "sk-ant-abc"}, "The header `x-api-key`", "a key of another provider"),
        ({"api-key": KEY}, "The header `api-key`", "an API key"),
        ({"x-auth-token": TOKEN}, "The header `x-auth-token`", "an access token"),
        ({"cookie": f"a=b; access_token={TOKEN}"}, "A cookie", "an access token"),
    ],
)
def test_a_credential_in_the_wrong_place_is_recognised_and_not_echoed(
    headers: dict[str, str], place: str, kind: str
) -> None:
    error = explain(make_request(headers), errors.CredentialsMissing())
    assert error.detail.startswith(f"{place} contains {kind}. ")
    assert error.code == "credentials_missing"
    assert not any(secret in error.detail for secret in (KEY, TOKEN, BASIC))


@pytest.mark.parametrize("name", ["api_key", "access_token", "token", "key"])
def test_a_credential_in_the_query_string_is_recognised(name: str) -> None:
    error = explain(with_query(f"limit=1&{name}={KEY}"), errors.CredentialsMissing())
    assert error.detail.startswith("The query string contains an API key. Send it as `Authorization: Bearer <key>`")


def test_a_credential_is_looked_for_in_a_bounded_number_of_places() -> None:
    error = errors.CredentialsMissing()
    assert explain(with_query("a=1&" * MAX_PLACES + f"key={KEY}"), error) is error
    assert explain(with_query("a=1&" * (MAX_PLACES - 1) + f"key={KEY}"), error) is not error


def test_json_in_base64_is_no_access_token() -> None:
    error = errors.CredentialsMissing()
    assert explain(with_query("limit=1&cursor=eyJpZCI6MX0"), error) is error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {TOKEN}", "api-key": KEY},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY, "cookie": f"t={TOKEN}"},
        {"authorization": "Bearer rubbish", "x-request-id": KEY},
        {"cookie": "session=eyJ1c2VyIjoxfQ.c2ln"},
    ],
)
def test_other_errors_are_not_changed(headers: dict[str, str]) -> None:
    error = errors.TokenInvalid()
    assert explain(make_request(headers), error) is error
