"""Verifying access tokens: only good ones pass, keys are fetched as seldom as possible, and no outage is a 401."""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parley import errors
from parley.ids import new_id
from parley.security.identity import bearer_token
from parley.security.jwks import KeySet
from parley.security.tokens import TokenVerifier
from parley_testing.security.token_issuer import ISSUER, TestIssuer

ISSUED_BY_US = TestIssuer()


class Clock:
    """A clock that tests wind."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Jwks:
    """Counts how often it is asked, and fails when told."""

    def __init__(self, *issuers: TestIssuer) -> None:
        self.issuers = list(issuers)
        self.asked = 0
        self.is_down = False

    async def __call__(self) -> Mapping[str, Any]:
        self.asked += 1
        if self.is_down:
            raise ConnectionError
        return {"keys": [key for issuer in self.issuers for key in issuer.jwks()["keys"]]}


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join([*parts, ""])


async def test_a_good_token_names_its_principal() -> None:
    user_id = new_id()
    principal = await ISSUED_BY_US.verifier().verify(ISSUED_BY_US.token(user_id, scope="chat:write history:read"))
    assert principal.user_id == user_id
    assert principal.scopes == {"chat:write", "history:read"}
    principal.require("chat:write")
    with pytest.raises(errors.InsufficientScope, match="admin"):
        principal.require("admin")
    assert principal.token not in repr(principal)


def without(name: str) -> dict[str, Any]:
    claims = ISSUED_BY_US.claims()
    del claims[name]
    return claims


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    **{f"no {n}": without(n) for n in ("exp", "iat", "iss", "aud", "sub", "jti", "sid", "client_id", "scope")},
    "another issuer": {**ISSUED_BY_US.claims(), "iss": "https://evil.example"},
    "another audience": {**ISSUED_BY_US.claims(), "aud": "other"},
    "an audience among others": {**ISSUED_BY_US.claims(), "aud": ["parley", "other"]},
    "no user": {**ISSUED_BY_US.claims(), "sub": "me"},
    "issued tomorrow": {**ISSUED_BY_US.claims(), "iat": int(time.time()) + 86_400},
    "valid from tomorrow": {**ISSUED_BY_US.claims(), "nbf": int(time.time()) + 86_400},
    "an end that is no number": {**ISSUED_BY_US.claims(), "exp": "soon"},
    "an endless end": {**ISSUED_BY_US.claims(), "exp": float("inf")},
    "an endless log-in": {**ISSUED_BY_US.claims(), "auth_time": float("inf")},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_a_token_with_bad_claims_is_invalid(claims: dict[str, Any]) -> None:
    with pytest.raises(errors.TokenInvalid):
        await ISSUED_BY_US.verifier().verify(ISSUED_BY_US.sign(claims))


GOOD_HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": "test-key"}
GOOD = ISSUED_BY_US.token()
BAD_TOKENS = {
    "empty": "",
    "no token": "abc",
    "not ASCII": GOOD + "é",
    "too long": GOOD + "A" * 9000,
    "alg none": unsigned({**GOOD_HEADER, "alg": "none"}, ISSUED_BY_US.claims()),
    "unsigned": GOOD.rpartition(".")[0] + ".",
    "signature of another": GOOD.rpartition(".")[0] + "." + ISSUED_BY_US.token().rpartition(".")[2],
    "typ JWT": ISSUED_BY_US.sign(ISSUED_BY_US.claims(), headers={"typ": "JWT"}),
    "crit": ISSUED_BY_US.sign(ISSUED_BY_US.claims(), headers={"crit": ["exp"]}),
    "unknown kid": ISSUED_BY_US.sign(ISSUED_BY_US.claims(), headers={"kid": "other"}),
    "endless kid": ISSUED_BY_US.sign(ISSUED_BY_US.claims(), headers={"kid": "k" * 100}),
    "HMAC with the public key": jwt.encode(
        ISSUED_BY_US.claims(),
        ISSUED_BY_US.jwks()["keys"][0]["x"],
        "HS256",
        headers={"typ": "at+jwt", "kid": "test-key"},
    ),
    "key of its own": jwt.encode(
        ISSUED_BY_US.claims(), Ed25519PrivateKey.generate(), "EdDSA", headers={"typ": "at+jwt", "kid": "test-key"}
    ),
}


@pytest.mark.filterwarnings("ignore:The HMAC key")
@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_token_is_invalid(token: str) -> None:
    with pytest.raises(errors.TokenInvalid):
        await ISSUED_BY_US.verifier().verify(token)


async def test_an_expired_token_says_so_also_when_it_was_seen_before() -> None:
    clock = Clock()
    verifier = TokenVerifier(KeySet(Jwks(ISSUED_BY_US)), issuer=ISSUER, clock=clock)
    token = ISSUED_BY_US.token(lifetime=60)
    await verifier.verify(token)
    assert verifier.cached(token)
    clock.now += 61
    assert verifier.cached(token) is None
    with pytest.raises(errors.TokenExpired):
        await verifier.verify(ISSUED_BY_US.token(lifetime=-60))


async def test_a_token_seen_before_needs_no_keys() -> None:
    jwks = Jwks(ISSUED_BY_US)
    verifier = TokenVerifier(KeySet(jwks, lifetime=0), issuer=ISSUER)
    token = ISSUED_BY_US.token()
    first = await verifier.verify(token)
    jwks.is_down = True
    assert await verifier.verify(token) == first
    assert jwks.asked == 1


async def test_the_memory_of_tokens_is_bounded() -> None:
    verifier = TokenVerifier(KeySet(Jwks(ISSUED_BY_US)), issuer=ISSUER, cache_size=2)
    tokens = [ISSUED_BY_US.token() for _ in range(3)]
    for token in tokens:
        await verifier.verify(token)
    assert [verifier.cached(token) is not None for token in tokens] == [False, True, True]


async def test_without_any_key_tokens_cannot_be_verified_and_are_not_called_invalid() -> None:
    jwks = Jwks()
    jwks.is_down = True
    with pytest.raises(errors.DependencyUnavailable):
        await TokenVerifier(KeySet(jwks), issuer=ISSUER).verify(ISSUED_BY_US.token())


async def test_known_keys_serve_on_while_auth_is_away() -> None:
    clock, jwks = Clock(), Jwks(ISSUED_BY_US)
    verifier = TokenVerifier(KeySet(jwks, clock=clock), issuer=ISSUER)
    await verifier.verify(ISSUED_BY_US.token())
    jwks.is_down = True
    clock.now += 3600
    await verifier.verify(ISSUED_BY_US.token())


async def test_a_new_key_is_fetched_when_it_is_first_seen_and_an_old_one_is_refused_once_retired() -> None:
    clock, old, new = Clock(), TestIssuer(kid="old"), TestIssuer(kid="new")
    jwks = Jwks(old)
    verifier = TokenVerifier(KeySet(jwks, clock=clock), issuer=ISSUER)
    await verifier.verify(old.token())
    jwks.issuers = [new]
    clock.now += 31
    await verifier.verify(new.token())
    assert jwks.asked == 2
    with pytest.raises(errors.TokenInvalid):
        await verifier.verify(old.token())


async def test_made_up_key_ids_cannot_make_us_ask_auth_all_the_time() -> None:
    clock, jwks = Clock(), Jwks(ISSUED_BY_US)
    verifier = TokenVerifier(KeySet(jwks, clock=clock), issuer=ISSUER)
    await verifier.verify(ISSUED_BY_US.token())
    for number in range(50):
        with pytest.raises(errors.TokenInvalid):
            await verifier.verify(ISSUED_BY_US.sign(ISSUED_BY_US.claims(), headers={"kid": f"k{number}"}))
    assert jwks.asked == 1


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer ", "abc"])
def test_a_header_without_a_bearer_token_is_missing_credentials(header: str | None) -> None:
    with pytest.raises(errors.CredentialsMissing):
        bearer_token(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_the_scheme_may_be_written_in_any_case(header: str) -> None:
    assert bearer_token(header) == "abc"
