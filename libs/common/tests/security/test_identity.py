"""Authentication of the caller by a FastAPI dependency."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request

from parley import errors
from parley.config.settings import ServiceSettings, load
from parley.ids import new_id
from parley.security.identity import Principal, bearer_token, caller
from parley.web.app import build_app
from parley.web.runtime import Runtime

USER = new_id()


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer ", "abc"])
def test_a_header_without_a_bearer_token_is_missing_credentials(header: str | None) -> None:
    with pytest.raises(errors.CredentialsMissing):
        bearer_token(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_the_scheme_may_be_written_in_any_case(header: str) -> None:
    assert bearer_token(header) == "abc"


def principal(*scopes: str) -> Principal:
    return Principal(
        user_id=USER,
        scopes=frozenset(scopes),
        plan="default",
        session_id="s",
        client_id="c",
        issued_at=0,
        auth_time=None,
        expires_at=0,
        token="secret-token",
    )


@dataclass
class FakeVerifier:
    """Accepts every token as one principal."""

    found: Principal

    async def verify(self, token: str) -> Principal:
        if token == "expired":
            raise errors.TokenExpired
        return self.found


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    @contextlib.asynccontextmanager
    async def wire(_settings: ServiceSettings, _runtime: Runtime) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(verifier=FakeVerifier(principal("chat:read")))

    settings = load(ServiceSettings, admin_port=0)
    app = build_app(settings, service="test", version="1", description="x", wire=wire, routers=[router()])
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as opened:
        yield opened


def router() -> APIRouter:
    made = APIRouter()

    @made.get("/read")
    async def read(request: Request, user: Annotated[Principal, Depends(caller("chat:read"))]) -> dict[str, str]:
        return {"user_id": str(user.user_id), "logged": request.scope["parley"].user_id}

    @made.get("/write")
    async def write(user: Annotated[Principal, Depends(caller("chat:read", "chat:write"))]) -> None:
        del user

    return made


async def test_a_caller_with_the_scope_is_let_in_and_named_in_the_request_context(client: httpx2.AsyncClient) -> None:
    response = await client.get("/read", headers={"authorization": "Bearer good"})
    assert response.status_code == 200
    assert response.json() == {"user_id": str(USER), "logged": str(USER)}


async def test_a_caller_without_the_scope_is_refused_with_the_missing_scope(client: httpx2.AsyncClient) -> None:
    response = await client.get("/write", headers={"authorization": "Bearer good"})
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert 'scope="chat:write"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("header", "code"), [({}, "credentials_missing"), ({"authorization": "Bearer expired"}, "token_expired")]
)
async def test_a_caller_without_a_valid_token_is_refused(
    client: httpx2.AsyncClient, header: dict[str, str], code: str
) -> None:
    response = await client.get("/read", headers=header)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.headers["www-authenticate"].startswith("Bearer")
