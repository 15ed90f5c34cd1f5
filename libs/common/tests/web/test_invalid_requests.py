"""Requests that a service cannot read or accept: bodies, fields, parameters and sizes."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Query
from pydantic import Field, field_validator

from parley.web.app import JsonRoute
from parley.web.schemas import RequestBody, Text
from parley.web.validation import FieldValueError

LIMIT = 1024
Client = httpx2.AsyncClient


class Credentials(RequestBody):
    username: Text = Field(min_length=3, max_length=8)
    password: Text
    tags: list[str] = Field(default=[], max_length=2)

    @field_validator("password")
    @classmethod
    def long_enough(cls, value: str) -> str:
        if len(value) < 12:
            raise FieldValueError("password_too_short", "At least 12 characters.")
        return value


def router() -> APIRouter:
    made = APIRouter(prefix="/api/v1/things", route_class=JsonRoute)

    @made.post("")
    async def create(body: Credentials) -> dict[str, int]:
        return {"length": len(body.username)}

    @made.get("")
    async def find(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, int]:
        return {"limit": limit}

    return made


@pytest.fixture
def app(build_service: Callable[..., FastAPI]) -> FastAPI:
    return build_service(router(), body_limit=LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        b'{"username":"ada","username":"eve","password":"correct horse"}',
        b'{"username":"ada","password":"correct horse","tags":[NaN]}',
        '{"username":"ada","password":"correct horse"}'.encode("utf-16"),
    ],
)
async def test_a_body_that_another_parser_could_read_differently_is_invalid_json(client: Client, body: bytes) -> None:
    response = await client.post("/api/v1/things", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")


async def test_every_invalid_field_is_named_and_no_value_is_echoed(client: Client) -> None:
    body = {"username": "ab", "password": "hunter2", "tags": ["a", "b", "c"], "extra/one": "hunter2"}
    response = await client.post("/api/v1/things", json=body)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": "/username", "code": "too_short", "detail": "At least 3 characters."},
        {"pointer": "/password", "code": "password_too_short", "detail": "At least 12 characters."},
        {"pointer": "/tags", "code": "too_long", "detail": "At most 2 entries."},
        {"pointer": "/extra~1one", "code": "unknown_member", "detail": "This field is not supported."},
    ]
    assert response.json()["error"]["param"] == "username"
    assert "hunter2" not in response.text


async def test_a_missing_field_does_not_echo_the_body(client: Client) -> None:
    response = await client.post("/api/v1/things", json={"password": "hunter2-hunter2"})
    assert response.json()["errors"] == [
        {"pointer": "/username", "code": "required", "detail": "This field is required."}
    ]
    assert "hunter2" not in response.text


async def test_text_that_postgres_cannot_store_is_rejected(client: Client) -> None:
    for text in (r'"nul\u0000x"', r'"lone\ud800"'):
        body = b'{"username": %s, "password": "long enough for it"}' % text.encode()
        response = await client.post("/api/v1/things", content=body, headers={"content-type": "application/json"})
        assert response.status_code in {400, 422}
        assert response.json()["code"] in {"validation_failed", "invalid_json"}


async def test_a_query_parameter_out_of_range_is_named(client: Client) -> None:
    response = await client.get("/api/v1/things?limit=201")
    assert response.json()["errors"] == [
        {"pointer": "/limit", "code": "less_than_equal", "detail": "Must be at most 200."}
    ]


async def test_invalid_json_is_a_400_and_another_content_type_is_a_415(client: Client) -> None:
    headers = {"content-type": "application/json"}
    response = await client.post("/api/v1/things", content=b'{"a":', headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")
    response = await client.post("/api/v1/things", content=b"{}", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_rejected_with_and_without_content_length(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 512

    headers = {"content-type": "application/json"}
    for content in (b" " * (LIMIT + 1), chunks()):
        response = await client.post("/api/v1/things", content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        assert response.json()["detail"] == f"The request body is too large: at most {LIMIT} bytes are accepted."
