"""Forged and malformed access tokens: refused fast, without a request for keys."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from auth_testing.token_attacks import ATTACKS, with_header
from parley.errors import ParleyError, Unauthenticated
from parley.security.jwks import KeySet
from parley.security.tokens import TokenVerifier
from parley_testing.security.token_issuer import ISSUER, TestIssuer

MAX_CPU_SECONDS = 0.005


class Counted:
    """A JWKS that counts its fetches."""

    def __init__(self, issuer: TestIssuer) -> None:
        self.issuer, self.fetches = issuer, 0

    async def __call__(self) -> Mapping[str, Any]:
        self.fetches += 1
        return self.issuer.jwks()


@pytest.fixture(scope="module")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture
async def keys(issuer: TestIssuer) -> Counted:
    return Counted(issuer)


@pytest.fixture
async def verifier(issuer: TestIssuer, keys: Counted) -> TokenVerifier:
    found = TokenVerifier(KeySet(keys), issuer=ISSUER)
    await found.verify(issuer.token())
    return found


def test_there_are_at_least_sixty_attacks() -> None:
    assert len(ATTACKS) >= 60


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_token_is_refused_fast(
    attack: str, issuer: TestIssuer, verifier: TokenVerifier, keys: Counted
) -> None:
    token = ATTACKS[attack](issuer)
    fastest = float("inf")
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(Unauthenticated):
            await verifier.verify(token)
        fastest = min(fastest, time.process_time() - began)
    assert fastest < MAX_CPU_SECONDS
    assert keys.fetches == 1


async def test_a_thousand_unknown_kids_cause_one_fetch_an_interval(issuer: TestIssuer) -> None:
    clock, keys = [0.0], Counted(issuer)
    found = TokenVerifier(KeySet(keys, clock=lambda: clock[0]), issuer=ISSUER)
    await found.verify(issuer.token())
    clock[0] = 100.0
    for number in range(1000):
        with pytest.raises(ParleyError):
            await found.verify(with_header(kid=f"kid-{number}")(issuer))
    assert keys.fetches == 2


async def test_clocks_may_differ_by_half_a_minute(issuer: TestIssuer, verifier: TokenVerifier) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 20}, {"nbf": now + 20}, {"iat": now + 20}):
        principal = await verifier.verify(issuer.sign(issuer.claims() | claims))
        assert principal.client_id == "parley-web"


async def test_a_header_that_only_points_elsewhere_is_not_followed(issuer: TestIssuer, verifier: TokenVerifier) -> None:
    token = with_header(jku="http://127.0.0.1:9/x", x5u="http://127.0.0.1:9/y")(issuer)
    assert (await verifier.verify(token)).client_id == "parley-web"
