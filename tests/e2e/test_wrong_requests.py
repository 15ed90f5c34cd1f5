"""Wrong requests, and what a person is told: status, code and sentence, compared with ``wrong_requests.md``.

After a deliberate change: ``PARLEY_UPDATE_SNAPSHOT=1 .venv/bin/pytest tests/e2e/test_wrong_requests.py``, then read the
difference.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

UPDATE = bool(os.environ.get("PARLEY_UPDATE_SNAPSHOT"))
TABLE = Path(__file__).with_name("wrong_requests.md")
CHAT, TURNS, OPENAI = "/api/v1/chat", "/api/v1/chat/turns", "/v1/chat/completions"
ID = "01a200aa-0000-7000-8000-000000000002"
KEY = "parley_" + "0" * 38
ANONYMOUS = {"Authorization": ""}
"""Headers of a request without the user's token."""
USER = [{"role": "user", "content": "Hi"}]
LONG = [{"role": "user", "content": "\u5b57" * 250_000}]


class Wrong(NamedTuple):
    """A wrong request: a description, method, path, and options of the HTTP client."""

    description: str
    method: str
    path: str
    options: dict[str, Any]


def wrong(description: str, method: str, path: str, **options: Any) -> Wrong:
    return Wrong(description, method, path, options)


def body(description: str, **members: Any) -> Wrong:
    return wrong(description, "POST", CHAT, json=members)


def raw(description: str, content: bytes, content_type: str = "application/json") -> Wrong:
    return wrong(description, "POST", CHAT, content=content, headers={"Content-Type": content_type})


def completion(description: str, **members: Any) -> Wrong:
    return wrong(description, "POST", OPENAI, json=members)


WRONG = [
    wrong("no credentials", "GET", TURNS, headers=ANONYMOUS),
    wrong("a token that is none", "GET", TURNS, headers={"Authorization": "Bearer rubbish"}),
    wrong("an API key without `Bearer`", "GET", TURNS, headers={"Authorization": KEY}),
    wrong("an API key in `api-key`", "GET", TURNS, headers={**ANONYMOUS, "api-key": KEY}),
    wrong("an API key in the query string", "GET", f"{TURNS}?api_key={KEY}", headers=ANONYMOUS),
    wrong("an API key that does not exist", "GET", TURNS, headers={**ANONYMOUS, "X-API-Key": KEY}),
    wrong("a key of OpenAI", "GET", TURNS, headers={"Authorization": "Bearer sk-proj-abc"}),
    wrong("a refresh token", "GET", TURNS, headers={"Authorization": "Bearer prt_abc"}),
    wrong("a scope that is missing", "GET", "/api/v1/admin/users"),
    wrong("an unknown path", "GET", "/api/v1/nothing"),
    wrong("a method that the path does not have", "DELETE", CHAT),
    wrong("an unknown query parameter", "GET", f"{TURNS}?page=2"),
    wrong("a parameter twice", "GET", f"{TURNS}?limit=1&limit=2"),
    wrong("a limit of 0", "GET", f"{TURNS}?limit=0"),
    wrong("a limit that is no number", "GET", f"{TURNS}?limit=many"),
    wrong("a cursor that is none", "GET", f"{TURNS}?cursor=abc"),
    wrong("a filter with an unknown value", "GET", f"{TURNS}?status=done"),
    wrong("a turn that does not exist", "GET", f"{TURNS}/{ID}"),
    wrong("a conversation that does not exist", "GET", f"/api/v1/conversations/{ID}"),
    wrong("a search without `q`", "GET", "/api/v1/search"),
    wrong("a date that is none", "GET", "/api/v1/usage?from=yesterday"),
    raw("broken JSON", b'{"message": '),
    raw("an empty body", b""),
    raw("an array", b"[]"),
    raw("another content type", b"message=Hi", "application/x-www-form-urlencoded"),
    raw("a body over 1 MiB", b'{"message":"' + b"x" * 1_100_000 + b'"}'),
    body("neither `message` nor `regenerate`"),
    body("an empty message", message=""),
    body("a message of 40,000 characters", message="x" * 40_000),
    body("a message that is an object", message={"role": "user", "content": "Hi"}),
    body("OpenAI's form", model="default", messages=USER),
    body("an unknown member", message="Hi", colour="red"),
    body("two wrong members", message="", temperature=3),
    body("a temperature that is text", message="Hi", temperature="1"),
    body("too many tokens", message="Hi", max_tokens=1_000_000),
    body("a number as metadata", message="Hi", metadata={"n": 1}),
    body("a conversation id that is none", message="Hi", conversation_id="abc"),
    body("`parent_id` without a conversation", message="Hi", parent_id=ID),
    body("an unknown model", message="Hi", model="gpt-9"),
    wrong("an idempotency key with a space", "POST", CHAT, json={"message": "Hi"}, headers={"Idempotency-Key": "a b"}),
    completion("Parley's form on `/v1`", model="default", message="Hi"),
    completion("no model on `/v1`", messages=USER),
    completion("an unknown model on `/v1`", model="gpt-9", messages=USER),
    completion("content of the wrong type on `/v1`", model="default", messages=[{"role": "user", "content": 5}]),
    completion("an unknown role on `/v1`", model="default", messages=[{"role": "human", "content": "Hi"}]),
    completion("a prompt beyond the window on `/v1`", model="default", messages=LONG),
    wrong("an API key without a name", "POST", "/api/v1/auth/api-keys", json={"name": ""}),
    wrong("a token request without a grant", "POST", "/api/v1/auth/token", data={"username": "ada"}),
    wrong("a wrong password", "POST", "/api/v1/auth/token",
          data={"grant_type": "password", "username": "nobody", "password": "wrong"}),
    wrong("registration with a bad address", "POST", "/api/v1/auth/register",
          json={"username": "ada", "email": "ada", "password": "correct horse battery"}),
]  # fmt: skip


@pytest.fixture
async def user(embedded: EmbeddedStack) -> AsyncIterator[UserClient]:
    async with open_http(embedded.url) as http:
        yield await register(http)


def row(request: Wrong, response: httpx2.Response) -> str:
    found = response.json()
    error = found["error"]
    nested = isinstance(error, dict)
    code, sentence = (error["code"], error["message"]) if nested else (error, found["error_description"])
    if nested and "detail" in found:
        assert found["detail"] == sentence or len(found["errors"]) > 1
        sentence = found["detail"]
    return f"| {request.description} | {response.status_code} | `{code}` | {sentence} |"


async def test_wrong_requests_get_the_recorded_status_code_and_sentence(user: UserClient) -> None:
    lines = [
        "# Wrong requests, and what a person is told",
        "",
        "| request | status | code | sentence |",
        "|---|---|---|---|",
    ]
    for request in WRONG:
        options = dict(request.options)
        headers = {name: value for name, value in (user.headers | options.pop("headers", {})).items() if value}
        lines.append(row(request, await user.http.request(request.method, request.path, headers=headers, **options)))
    text = "\n".join(lines) + "\n"
    if UPDATE:
        TABLE.write_text(text, encoding="utf-8")
    assert text == TABLE.read_text(encoding="utf-8")
