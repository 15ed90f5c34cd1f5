"""Access token verification."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parley import errors
from parley.ids import new_id
from parley.security.jwks import KeySet
from parley.security.tokens import TokenVerifier
from parley_testing.fakes.manual_clock import ManualClock
from parley_testing.security.key_source import FakeKeySource
from parley_testing.security.token_issuer import ISSUER, TestIssuer

ISSUER_OF_AUTH = TestIssuer()


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join([*parts, ""])


async def test_a_valid_token_is_turned_into_a_principal() -> None:
    user_id = new_id()
    principal = await ISSUER_OF_AUTH.verifier().verify(ISSUER_OF_AUTH.token(user_id, scope="chat:write history:read"))
    assert principal.user_id == user_id
    assert principal.scopes == {"chat:write", "history:read"}
    principal.require("chat:write")
    with pytest.raises(errors.InsufficientScope, match="admin"):
        principal.require("admin")
    assert principal.token not in repr(principal)


CLAIMS = ISSUER_OF_AUTH.claims(lifetime=86_400)
"""Claims that are valid for longer than the whole suite takes."""


def claims_without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    **{f"no {n}": claims_without(n) for n in ("exp", "iat", "iss", "aud", "sub", "jti", "sid", "client_id", "scope")},
    "another issuer": {**CLAIMS, "iss": "https://evil.example"},
    "another audience": {**CLAIMS, "aud": "other"},
    "an audience among others": {**CLAIMS, "aud": ["parley", "other"]},
    "no user": {**CLAIMS, "sub": "me"},
    "issued tomorrow": {**CLAIMS, "iat": int(time.time()) + 86_400},
    "issued at no number": {**CLAIMS, "iat": "now"},
    "valid from tomorrow": {**CLAIMS, "nbf": int(time.time()) + 86_400},
    "an end that is no number": {**CLAIMS, "exp": "soon"},
    "an endless end": {**CLAIMS, "exp": float("inf")},
    "an endless log-in": {**CLAIMS, "auth_time": float("inf")},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_a_token_with_bad_claims_is_invalid(claims: dict[str, Any]) -> None:
    with pytest.raises(errors.TokenInvalid):
        await ISSUER_OF_AUTH.verifier().verify(ISSUER_OF_AUTH.sign(claims))


async def test_a_token_is_valid_where_the_clock_is_a_minute_behind() -> None:
    claims = {**CLAIMS, "iat": int(time.time()) + 60}
    principal = await ISSUER_OF_AUTH.verifier().verify(ISSUER_OF_AUTH.sign(claims))
    assert principal.issued_at == claims["iat"]


GOOD_HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": "test-key"}
GOOD = ISSUER_OF_AUTH.sign(CLAIMS)
BAD_TOKENS = {
    "empty": "",
    "no token": "abc",
    "not ASCII": GOOD + "é",
    "too long": GOOD + "A" * 9000,
    "alg none": unsigned({**GOOD_HEADER, "alg": "none"}, CLAIMS),
    "unsigned": GOOD.rpartition(".")[0] + ".",
    "signature of another": GOOD.rpartition(".")[0] + "." + ISSUER_OF_AUTH.token().rpartition(".")[2],
    "typ JWT": ISSUER_OF_AUTH.sign(CLAIMS, headers={"typ": "JWT"}),
    "crit": ISSUER_OF_AUTH.sign(CLAIMS, headers={"crit": ["exp"]}),
    "unknown kid": ISSUER_OF_AUTH.sign(CLAIMS, headers={"kid": "other"}),
    "endless kid": ISSUER_OF_AUTH.sign(CLAIMS, headers={"kid": "k" * 100}),
    "HMAC with the public key": jwt.encode(
        CLAIMS,
        ISSUER_OF_AUTH.jwks()["keys"][0]["x"],
        "HS256",
        headers={"typ": "at+jwt", "kid": "test-key"},
    ),
    "key of its own": jwt.encode(
        CLAIMS, Ed25519PrivateKey.generate(), "EdDSA", headers={"typ": "at+jwt", "kid": "test-key"}
    ),
}


@pytest.mark.filterwarnings("ignore:The HMAC key")
@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_token_is_invalid(token: str) -> None:
    with pytest.raises(errors.TokenInvalid):
        await ISSUER_OF_AUTH.verifier().verify(token)


async def test_an_expired_token_is_rejected_also_when_it_is_cached() -> None:
    clock = ManualClock(time.time())
    verifier = TokenVerifier(KeySet(FakeKeySource(ISSUER_OF_AUTH)), issuer=ISSUER, clock=clock)
    token = ISSUER_OF_AUTH.token(lifetime=60)
    await verifier.verify(token)
    assert verifier.cached(token)
    clock.now += 61
    assert verifier.cached(token) is None
    with pytest.raises(errors.TokenExpired):
        await verifier.verify(ISSUER_OF_AUTH.token(lifetime=-60))


async def test_a_cached_token_is_verified_without_keys() -> None:
    jwks = FakeKeySource(ISSUER_OF_AUTH)
    verifier = TokenVerifier(KeySet(jwks, lifetime=0), issuer=ISSUER)
    token = ISSUER_OF_AUTH.token()
    first = await verifier.verify(token)
    jwks.is_down = True
    assert await verifier.verify(token) == first
    assert jwks.fetches == 1


async def test_the_least_recently_used_token_leaves_a_full_cache() -> None:
    verifier = TokenVerifier(KeySet(FakeKeySource(ISSUER_OF_AUTH)), issuer=ISSUER, cache_size=2)
    tokens = [ISSUER_OF_AUTH.token() for _ in range(3)]
    for token in tokens:
        await verifier.verify(token)
    assert [verifier.cached(token) is not None for token in tokens] == [False, True, True]
