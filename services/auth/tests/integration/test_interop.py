"""Interoperability with PyJWT and Authlib."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest

from auth_testing.app import MakeSettings
from auth_testing.replica import running_replica

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
async def client(
    make_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an auth process with one account."""
    async with running_replica(await make_settings(), folder=tmp_path_factory.mktemp("auth")) as (opened, _):
        await opened.post("/api/v1/auth/register", json={"username": "ada", "password": PASSWORD})
        yield opened


async def test_pyjwt_verifies_a_token_through_the_jwks_address(client: httpx2.AsyncClient) -> None:
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    token = (await client.post("/api/v1/auth/token", data=form)).json()["access_token"]
    keys = jwt.PyJWKClient(f"{client.base_url}/.well-known/jwks.json")
    key = await asyncio.to_thread(keys.get_signing_key_from_jwt, token)
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="parley", issuer="http://localhost:8000")
    assert claims["client_id"] == "parley-web"


async def test_authlibs_client_logs_in_refreshes_and_logs_out(client: httpx2.AsyncClient) -> None:
    client_of = pytest.importorskip("authlib.integrations.requests_client").OAuth2Session
    await asyncio.to_thread(_use_authlib, client_of, str(client.base_url).rstrip("/"))


def _use_authlib(client_of: Any, base: str) -> None:
    auth = f"{base}/api/v1/auth"
    with client_of("my-app", token_endpoint_auth_method="none", scope="account") as session:
        token = session.fetch_token(f"{auth}/token", username="ada", password=PASSWORD)
        assert session.get(f"{auth}/me").json()["username"] == "ada"
        renewed = session.refresh_token(f"{auth}/token", refresh_token=token["refresh_token"])
        assert renewed["refresh_token"] != token["refresh_token"]
        assert session.get(f"{auth}/sessions").json()["data"][0]["client_id"] == "my-app"
        done = session.revoke_token(f"{auth}/revoke", token=renewed["refresh_token"], token_type_hint="refresh_token")
        assert done.status_code == 200
        assert session.get(f"{auth}/me").json()["code"] == "session_revoked"
