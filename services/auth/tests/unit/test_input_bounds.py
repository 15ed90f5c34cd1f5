"""Lengths of what an anonymous client sends are checked before the work, and the event loop stays responsive."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
import pytest

from auth.container import AuthServices
from auth.errors import InvalidGrant, PasswordTooWeak
from auth.main import create_app
from auth.security import identifiers, password_policy
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy
from auth.settings import AuthSettings
from auth.tokens.oauth_forms import MAX_FIELD_LENGTHS, MAX_FORM_BYTES
from auth_testing.app import PASSWORD
from auth_testing.unit_services import UnitAuth, unit_auth_with, unit_settings
from parley.web.runtime import Runtime
from parley.web.validation import FieldValueError

TOKEN, REGISTER, RESET = "/api/v1/auth/token", "/api/v1/auth/register", "/api/v1/auth/password-reset"
T = TypeVar("T")


def marks(count: int) -> str:
    """Return combining marks in the order that takes normalisation longest."""
    return "\u0301\u0323" * (count // 2)


@pytest.fixture
async def client(fast_hasher: PasswordHasher) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the app over in-memory stores, with the account `ada`."""
    settings = unit_settings()
    auth = await unit_auth_with(settings, fast_hasher)
    await auth.user()

    @contextlib.asynccontextmanager
    async def wire(given: AuthSettings, runtime: Runtime) -> AsyncIterator[AuthServices]:
        del given, runtime
        yield auth.services

    app = create_app(settings, wire=wire)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as found,
    ):
        yield found


async def longest_stall(work: Awaitable[T]) -> tuple[T, float]:
    """Return the result of ``work``, and the most seconds of processor time between two turns of the event loop.

    Other work on the machine does not lengthen processor time. All threads count, because some work keeps the
    interpreter's lock.
    """
    longest, last, running = 0.0, time.process_time(), asyncio.ensure_future(work)
    while not running.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return running.result(), longest


def form(**fields: str) -> dict[str, Any]:
    body = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
    return {"content": body, "headers": {"content-type": "application/x-www-form-urlencoded"}}


@pytest.mark.parametrize("field", ["username", "password", "refresh_token", "subject_token", "scope", "client_id", "x"])
async def test_a_field_of_combining_marks_is_refused_without_a_stall(client: httpx2.AsyncClient, field: str) -> None:
    login = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    _, usual = await longest_stall(client.post(TOKEN, **form(**login)))
    raw = "&".join(f"{name}={value}" for name, value in (login | {field: marks(150_000)}).items()).encode()
    for content in (raw, form(**(login | {field: marks(10_000)}))["content"]):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        refused, stall = await longest_stall(client.post(TOKEN, content=content, headers=headers))
        assert (refused.status_code in {400, 413}, stall < max(1, 5 * usual)) == (True, True), (refused.text, stall)


@pytest.mark.parametrize("field", ["username", "password", "email", "display_name"])
async def test_a_member_of_combining_marks_is_refused_without_a_stall(client: httpx2.AsyncClient, field: str) -> None:
    body = {"username": "bea", "email": "bea@example.org", "password": PASSWORD, field: marks(150_000)}
    _, usual = await longest_stall(client.post(REGISTER, json=body | {field: "x" * 300_000}))
    refused, stall = await longest_stall(client.post(REGISTER, json=body))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert stall < max(1, 10 * usual)


@pytest.mark.parametrize("path", [REGISTER, RESET])
async def test_a_body_of_unknown_members_is_refused_with_one_error(client: httpx2.AsyncClient, path: str) -> None:
    refused = await client.post(path, json={f"m{number}": 1 for number in range(9_000)})
    assert (refused.status_code, len(refused.json()["errors"])) == (422, 1)
    assert len(refused.content) < 2_000


async def test_every_field_of_a_form_is_bounded(client: httpx2.AsyncClient) -> None:
    for name, allowed in MAX_FIELD_LENGTHS.items():
        refused = await client.post(TOKEN, **form(grant_type="password", **{name: "x" * (allowed + 1)}))
        assert refused.json()["error"] == "invalid_request"
        assert f"The parameter {name} is too long: at most {allowed}" in refused.json()["error_description"]
    for name in ("unheard", "subject_token", "client_secret"):
        refused = await client.post(TOKEN, **form(grant_type="password", **{name: "x" * 8193}))
        assert refused.json()["error_description"] == "A parameter is too long: at most 8192 characters are accepted."


@pytest.mark.parametrize("path", [TOKEN, "/api/v1/auth/revoke"])
async def test_a_form_beyond_the_limit_is_refused_before_it_is_decoded(client: httpx2.AsyncClient, path: str) -> None:
    refused = await client.post(path, **form(token="x" * MAX_FORM_BYTES))
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_the_longest_login_name_and_password_are_accepted(client: httpx2.AsyncClient) -> None:
    name, password = "x" * identifiers.MAX_LOGIN_LENGTH, "\U0001f511" * password_policy.MAX_LENGTH
    refused = await client.post(TOKEN, **form(grant_type="password", username=name, password=password))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_lengths_are_checked_below_the_routes_too(auth: UnitAuth, fast_hasher: PasswordHasher) -> None:
    await auth.user()
    long = "a" + marks(60_000)
    begin = time.process_time()
    for login, password in ((long, PASSWORD), ("ada", long)):
        with pytest.raises(InvalidGrant):
            await auth.login(login, password)
    assert not await fast_hasher.verify(long, await fast_hasher.dummy())
    assert identifiers.key(long) == long
    for check in (identifiers.username, identifiers.email):
        with pytest.raises(FieldValueError) as refused:
            check(long)
        assert refused.value.code == "too_long"
    with pytest.raises(PasswordTooWeak):
        PasswordPolicy(12, frozenset()).check(long)
    with pytest.raises(ValueError, match="too long"):
        password_policy.normalise(long)
    assert time.process_time() - begin < 5
