"""Access tokens of services, with a fake token endpoint."""

import asyncio
import base64

import httpx2
import pytest
from pydantic import SecretStr

from parley.errors import DependencyUnavailable
from parley.security.service_tokens import RENEWAL_MARGIN, ServiceTokenProvider
from parley_testing.fakes.manual_clock import ManualClock

LIFETIME = 300


class TokenEndpoint:
    """Issues numbered tokens, or responds with ``failure``."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.failure: httpx2.Response | None = None

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.failure or httpx2.Response(
            200, json={"access_token": f"token-{len(self.requests)}", "expires_in": LIFETIME}
        )


def provider(
    endpoint: TokenEndpoint, clock: ManualClock | None = None, secret: str | None = "hunter2"
) -> ServiceTokenProvider:
    return ServiceTokenProvider(
        httpx2.AsyncClient(transport=httpx2.MockTransport(endpoint)),
        auth_url="http://auth/",
        service="chat",
        secret=SecretStr(secret) if secret else None,
        clock=clock or ManualClock(),
    )


async def test_a_token_is_fetched_with_the_credentials_of_the_service() -> None:
    endpoint = TokenEndpoint()
    assert await provider(endpoint).get() == "token-1"
    (request,) = endpoint.requests
    assert str(request.url) == "http://auth/api/v1/auth/token"
    assert request.content == b"grant_type=client_credentials&scope=internal"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"parley-chat:hunter2"


async def test_concurrent_callers_share_one_token() -> None:
    endpoint = TokenEndpoint()
    tokens = provider(endpoint)
    assert set(await asyncio.gather(*(tokens.get() for _ in range(10)))) == {"token-1"}


async def test_a_token_is_renewed_before_it_expires() -> None:
    endpoint, clock = TokenEndpoint(), ManualClock(now=0)
    tokens = provider(endpoint, clock)
    await tokens.get()
    clock.now = LIFETIME - RENEWAL_MARGIN - 1
    assert await tokens.get() == "token-1"
    clock.now += 1
    assert await tokens.get() == "token-2"


async def test_an_invalidated_token_is_fetched_again() -> None:
    tokens = provider(TokenEndpoint())
    await tokens.get()
    tokens.invalidate()
    assert await tokens.get() == "token-2"


@pytest.mark.parametrize(
    "failure", [httpx2.Response(503), httpx2.Response(200, json={}), httpx2.Response(200, text="not JSON")]
)
async def test_a_failed_fetch_is_an_unavailable_dependency(failure: httpx2.Response) -> None:
    endpoint = TokenEndpoint()
    endpoint.failure = failure
    with pytest.raises(DependencyUnavailable):
        await provider(endpoint).get()


async def test_a_service_without_a_secret_cannot_get_a_token() -> None:
    endpoint = TokenEndpoint()
    with pytest.raises(DependencyUnavailable, match="no secret"):
        await provider(endpoint, secret=None).get()
    assert endpoint.requests == []
