"""Credentials: access tokens and API keys, and their cache."""

import asyncio
import time

import pytest

from gateway.access.credentials import RENEW_BEFORE, Authenticator, presented_credential
from gateway.access.plans import GatewayPlan
from gateway_testing.fakes import make_request
from parley import errors
from parley.config.plans import Plans
from parley.security.identity import Principal
from parley.security.tokens import TokenVerifier
from parley_testing.security.token_issuer import TestIssuer

API_KEY = "parley_" + "a" * 38


class CountingVerifier(TokenVerifier):
    """Counts the verified tokens."""

    def __init__(self, issuer: TestIssuer) -> None:
        self.verified, self._inner = 0, issuer.verifier()

    async def verify(self, token: str) -> Principal:
        self.verified += 1
        return await self._inner.verify(token)


class FakeKeyExchange:
    """Exchanges API keys, or raises ``error``."""

    def __init__(self, issuer: TestIssuer) -> None:
        self.issuer, self.exchanges = issuer, 0
        self.lifetime = 900
        self.error: Exception | None = None

    async def exchange_key(self, _key: str) -> str:
        self.exchanges += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.issuer.sign({**self.issuer.claims(lifetime=self.lifetime), "client_id": "api-key"})


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture
def verifier(issuer: TestIssuer) -> CountingVerifier:
    return CountingVerifier(issuer)


@pytest.fixture
def auth(issuer: TestIssuer) -> FakeKeyExchange:
    return FakeKeyExchange(issuer)


@pytest.fixture
def authenticator(verifier: CountingVerifier, auth: FakeKeyExchange) -> Authenticator:
    plans = Plans({"gold": GatewayPlan(streams=99)}, GatewayPlan())
    return Authenticator(verifier, plans, auth.exchange_key)


async def test_a_token_is_verified_once(
    authenticator: Authenticator, verifier: CountingVerifier, issuer: TestIssuer
) -> None:
    request = make_request({"authorization": f"Bearer {issuer.token()}"})
    assert await authenticator.identify(request) is await authenticator.identify(request)
    assert verifier.verified == 1
    authenticator.forget(request)
    await authenticator.identify(request)
    assert verifier.verified == 2


async def test_an_expired_token_is_not_taken_from_the_cache(
    authenticator: Authenticator, verifier: CountingVerifier, issuer: TestIssuer
) -> None:
    expired_within_the_leeway = issuer.token(lifetime=-10)
    for _ in range(2):
        await authenticator.identify_token(expired_within_the_leeway)
    assert verifier.verified == 2


async def test_a_caller_has_the_limits_of_the_plan(authenticator: Authenticator, issuer: TestIssuer) -> None:
    gold = await authenticator.identify_token(issuer.sign({**issuer.claims(), "plan": "gold"}))
    other = await authenticator.identify_token(issuer.sign({**issuer.claims(), "plan": "unheard of"}))
    assert (gold.max_streams, other.max_streams) == (99, 20)


async def test_concurrent_requests_exchange_a_key_once(authenticator: Authenticator, auth: FakeKeyExchange) -> None:
    request = make_request({"x-api-key": API_KEY})
    callers = await asyncio.gather(*(authenticator.identify(request) for _ in range(5)))
    assert len(set(callers)) == 1
    assert callers[0].from_key
    assert auth.exchanges == 1


async def test_a_rejected_key_is_not_exchanged_again(authenticator: Authenticator, auth: FakeKeyExchange) -> None:
    auth.error = errors.ApiKeyInvalid()
    for _ in range(3):
        with pytest.raises(errors.ApiKeyInvalid):
            await authenticator.identify(make_request({"x-api-key": API_KEY}))
    assert auth.exchanges == 1


async def test_a_malformed_key_is_never_exchanged(authenticator: Authenticator, auth: FakeKeyExchange) -> None:
    with pytest.raises(errors.ApiKeyInvalid):
        await authenticator.identify(make_request({"x-api-key": "parley_short"}))
    assert auth.exchanges == 0


async def test_an_exchanged_token_is_renewed_before_it_expires(
    authenticator: Authenticator, auth: FakeKeyExchange
) -> None:
    auth.lifetime = RENEW_BEFORE - 10
    request = make_request({"x-api-key": API_KEY})
    first = await authenticator.identify(request)
    assert await authenticator.identify(request) is not first
    auth.error = errors.DependencyUnavailable()
    assert not (await authenticator.identify(request)).expires_at < time.time(), "valid tokens outlive auth"


async def test_a_key_that_auth_cannot_check_is_an_outage(authenticator: Authenticator, auth: FakeKeyExchange) -> None:
    auth.error = errors.DependencyUnavailable()
    with pytest.raises(errors.DependencyUnavailable):
        await authenticator.identify(make_request({"x-api-key": API_KEY}))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, errors.CredentialsMissing),
        ({"authorization": "Basic YTpi"}, errors.CredentialsMissing),
        ({"authorization": "Bearer "}, errors.CredentialsMissing),
        ({"authorization": "bearer a"}, b"a"),
        ({"x-api-key": "other_a"}, errors.ApiKeyInvalid),
        ({"x-api-key": API_KEY}, API_KEY.encode()),
        ({"x-api-key": API_KEY, "authorization": f"Bearer {API_KEY}"}, API_KEY.encode()),
        ({"x-api-key": API_KEY, "authorization": ""}, API_KEY.encode()),
        ({"x-api-key": API_KEY, "authorization": "Bearer a"}, errors.AmbiguousCredentials),
    ],
)
def test_a_request_has_one_credential(headers: dict[str, str], expected: bytes | type[Exception]) -> None:
    request = make_request(headers)
    if isinstance(expected, bytes):
        assert presented_credential(request) == expected
    else:
        with pytest.raises(expected):
            presented_credential(request)


def test_a_repeated_credential_is_ambiguous() -> None:
    request = make_request({"authorization": "Bearer a"})
    request.repeated_headers.add(b"authorization")
    with pytest.raises(errors.AmbiguousCredentials):
        presented_credential(request)


@pytest.mark.parametrize("token", ["x" * 8193, "\ud800", "\u0301" * 500_000])
async def test_a_token_that_auth_cannot_have_issued_is_refused_before_it_is_verified(
    authenticator: Authenticator, verifier: CountingVerifier, token: str
) -> None:
    with pytest.raises(errors.TokenInvalid):
        await authenticator.identify_token(token)
    with pytest.raises(errors.TokenInvalid):
        await authenticator.identify(make_request(headers={"authorization": "Bearer " + "x" * 8193}))
    assert verifier.verified == 0
