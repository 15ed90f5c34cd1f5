"""The whole product, for clients that others wrote: they get a URL and a credential, and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from fake_provider.process import FakeProvider
from parley_testing.http.client import open_http, register
from parley_testing.stacks.embedded import EmbeddedStack


@dataclass(frozen=True, slots=True)
class Account:
    """Where the product is, and an API key and an access token of somebody who may use it."""

    url: str
    key: str
    token: str


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    folder = tmp_path_factory.mktemp("clients")
    async with FakeProvider() as provider, EmbeddedStack(folder, provider.base_url) as running:
        yield running


@pytest.fixture(scope="session")
async def account(stack: EmbeddedStack) -> Account:
    async with open_http(stack.url) as http:
        user = await register(http)
        made = await user.request("POST", "/api/v1/auth/api-keys", json={"name": "clients"})
        assert made.status_code == 201, made.text
        return Account(stack.url, made.json()["key"], user.tokens["access_token"])
