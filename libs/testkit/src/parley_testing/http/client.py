"""Client of the public API, for black-box tests."""

import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

TIMEOUT = 30.0
PASSWORD_MARK = "canary-password"  # noqa: S105 - no password, but the beginning of every test user's
"""Tests search logs for it."""
MAX_TOKEN_AGE = 300.0
"""Seconds after which ``renew`` logs in again: a third of the lifetime of an access token."""
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no certificate: loading the trusted ones takes 50 ms of CPU time for each client, which polls would repeat."""


@dataclass
class SseEvent:
    """A server-sent event."""

    data: dict[str, Any]
    id: str | None = None
    name: str | None = None


class StreamRefused(AssertionError):
    """The request for a stream was refused with ``status``."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status


@dataclass
class UserClient:
    """A user who is logged in."""

    http: httpx2.AsyncClient
    username: str
    password: str
    tokens: dict[str, Any] = field(default_factory=dict)
    logged_in_at: float = 0.0
    """Monotonic time of the last login."""

    @property
    def headers(self) -> dict[str, str]:
        """The user's credentials."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def log_in(self) -> None:
        """Exchange the password for tokens."""
        form = {"grant_type": "password", "username": self.username, "password": self.password}
        response = await self.http.post("/api/v1/auth/token", data=form)
        assert response.status_code == httpx2.codes.OK, response.text
        self.tokens, self.logged_in_at = response.json(), time.monotonic()

    async def renew(self) -> None:
        """Log in again if the access token is old, for fixtures that live longer than a token."""
        if time.monotonic() - self.logged_in_at > MAX_TOKEN_AGE:
            await self.log_in()

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request with the user's credentials."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **options)

    async def chat(self, message: str, **members: Any) -> dict[str, Any]:
        """Take one turn and return the answer."""
        response = await self.request("POST", "/api/v1/chat", json={"message": message, **members})
        assert response.status_code == httpx2.codes.OK, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def stream(self, message: str, **members: Any) -> AsyncIterator[SseEvent]:
        """Take one turn and yield its events."""
        async for event in self.events("POST", "/api/v1/chat/stream", json={"message": message, **members}):
            yield event

    async def events(self, method: str, path: str, **options: Any) -> AsyncIterator[SseEvent]:
        """Yield the events of a stream; raises StreamRefused."""
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.http.stream(method, path, headers=headers, **options) as response:
            if response.status_code != httpx2.codes.OK:
                raise StreamRefused(response.status_code, await response.aread())
            async for event in parse_events(response.aiter_lines()):
                yield event


async def parse_events(lines: AsyncIterator[str]) -> AsyncIterator[SseEvent]:
    """Parse server-sent events whose data is JSON; comments are skipped."""
    event = SseEvent({})
    data: list[str] = []
    async for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                event.data = json.loads("\n".join(data))
                yield event
            event, data = SseEvent({}), []
        elif name == "data":
            data.append(value)
        elif name == "id":
            event.id = value
        elif name == "event":
            event.name = value


def open_http(url: str = "", *, timeout: float = TIMEOUT, **options: Any) -> httpx2.AsyncClient:
    """Return a client for ``http://`` addresses."""
    return httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=NO_CERTIFICATES, **options)


async def register(http: httpx2.AsyncClient) -> UserClient:
    """Register a user with a random name and log in."""
    name = f"user-{secrets.token_hex(6)}"
    client = UserClient(http, name, f"{PASSWORD_MARK}-{secrets.token_urlsafe(16)}")
    body = {"username": name, "email": f"{name}@example.org", "password": client.password}
    response = await http.post("/api/v1/auth/register", json=body)
    assert response.status_code == httpx2.codes.CREATED, response.text
    await client.log_in()
    return client


@dataclass(frozen=True, slots=True)
class Account:
    """The gateway's URL, with an API key and an access token of one user."""

    url: str
    key: str
    token: str


async def open_account(url: str) -> Account:
    """Register a user and create an API key, for clients that take a URL and a credential."""
    async with open_http(url) as http:
        user = await register(http)
        response = await user.request("POST", "/api/v1/auth/api-keys", json={"name": "clients"})
        assert response.status_code == httpx2.codes.CREATED, response.text
        return Account(url, response.json()["key"], user.tokens["access_token"])
