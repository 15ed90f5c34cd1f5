"""Rubbish in every parameter of the API: a request may be refused, and must not fail."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.administrators import make_administrator
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

RUBBISH = ("%00", "x%00y", "%ED%A0%80", "9" * 30, "-1", "1e400", "%0A")
"""NUL, a surrogate, and numbers that no column holds."""
ID = "01a200aa-0000-7000-8000-000000000002"
AT_ONCE = 8


def addresses(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the method and the address of each operation, with rubbish in one of its parameters."""
    shared = {f"#/components/parameters/{name}": one for name, one in document["components"]["parameters"].items()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            given = [shared.get(one.get("$ref"), one) for one in operation.get("parameters", ())]
            parameters = [one for one in given if one["in"] in {"path", "query"}]
            for parameter in parameters:
                for rubbish in RUBBISH:
                    yield method.upper(), address(path, parameters, parameter, rubbish)


def address(path: str, parameters: list[dict[str, Any]], chosen: dict[str, Any], rubbish: str) -> str:
    for parameter in parameters:
        path = path.replace(f"{{{parameter['name']}}}", rubbish if parameter is chosen else ID)
    return path if chosen["in"] == "path" else f"{path}?{chosen['name']}={rubbish}"


@pytest.fixture
async def administrator(embedded: EmbeddedStack) -> AsyncIterator[UserClient]:
    async with open_http(embedded.url) as http:
        user = await register(http)
        await make_administrator(embedded, user)
        yield user


async def test_no_parameter_of_the_api_makes_a_service_fail(administrator: UserClient) -> None:
    document = (await administrator.request("GET", "/openapi.json")).json()
    found = list(addresses(document))
    assert len(found) > 400
    failures: list[str] = []
    free = asyncio.Semaphore(AT_ONCE)

    async def send(method: str, target: str) -> None:
        body: dict[str, Any] | None = None if method in {"GET", "DELETE"} else {}
        request = administrator.http.stream(method, target, headers=administrator.headers, json=body)
        async with free, request as response:
            if response.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
                failures.append(f"{response.status_code} {method} {target}")

    await asyncio.gather(*(send(*each) for each in found))
    assert failures == []
