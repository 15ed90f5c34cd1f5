"""Access policy: credential, scope, revocation and rate limits of a request."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.access.credentials import Authenticator
from gateway.access.plans import GatewayPlan
from gateway.access.policy import AccessPolicy
from gateway.access.revocations import RevocationLookup
from gateway.routes import route
from gateway_testing.fakes import FakeLimitChecker, make_request
from parley import errors
from parley.config.plans import Plans
from parley.errors import RateLimited
from parley_testing.fakes.manual_clock import ManualClock
from parley_testing.security.token_issuer import TestIssuer

PUBLIC = route("GET", "/public", "auth", None)
LOGIN = route("POST", "/login", "auth", None, strict=True)
MODELS = route("GET", "/models", "chat", "")
EXPORT = route("GET", "/export", "history", "history:read", cost=5)
API_KEY = "parley_" + "a" * 38


class Setup:
    """A policy with a fake limiter, an issuer of tokens, and the lookups at auth."""

    def __init__(self) -> None:
        self.issuer, self.limiter = TestIssuer(), FakeLimitChecker()
        self.revoked_at_auth: list[str] = []
        self.lookups = 0
        self.key_claims: dict[str, object] = {"client_id": "api-key"}
        self.valid_keys: set[str] | None = None
        self.exchanges = 0
        self.clock = ManualClock()
        plans = Plans({"slow": GatewayPlan(burst=3)}, GatewayPlan())
        authenticator = Authenticator(self.issuer.verifier(), plans, self._exchange_key)
        revocations = RevocationLookup(self._look_up, CollectorRegistry())
        self.policy = AccessPolicy(authenticator, self.limiter, revocations, clock=self.clock)

    async def _exchange_key(self, key: str) -> str:
        self.exchanges += 1
        if self.valid_keys is not None and key not in self.valid_keys:
            raise errors.ApiKeyInvalid
        return self.token(**self.key_claims)

    async def _look_up(self, _body: dict[str, Any]) -> dict[str, Any]:
        self.lookups += 1
        return {"revoked_sessions": self.revoked_at_auth, "revoked_users": []}

    def token(self, **claims: object) -> str:
        return self.issuer.sign({**self.issuer.claims(), **claims})

    def bearer(self, **claims: object) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(**claims)}"}


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_a_public_route_consumes_the_limit_of_the_address(setup: Setup) -> None:
    request = make_request()
    await setup.policy.admit(request, PUBLIC)
    await setup.policy.admit(request, LOGIN)
    assert setup.limiter.policies == ["address", "address"]
    assert [limits[0].strict for limits, _ in setup.limiter.checks] == [False, True]
    assert request.caller is None


async def test_a_caller_consumes_the_limits_of_the_plan_at_the_cost_of_the_route(setup: Setup) -> None:
    request = make_request(setup.bearer())
    await setup.policy.admit(request, EXPORT)
    assert setup.limiter.policies == ["user"]
    assert setup.limiter.checks[0][1] == 5
    assert (b"ratelimit-policy", b'"user";q=600;w=60') in request.rate_limit_headers


async def test_a_cost_above_the_burst_of_the_plan_takes_the_whole_burst(setup: Setup) -> None:
    await setup.policy.admit(make_request(setup.bearer(plan="slow")), EXPORT)
    assert setup.limiter.checks[0][1] == 3


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, errors.CredentialsMissing),
        ({"authorization": "Bearer rubbish"}, errors.TokenInvalid),
        ({"authorization": "Bearer a", "x-api-key": "parley_b"}, errors.AmbiguousCredentials),
    ],
)
async def test_an_invalid_credential_counts_on_the_address(
    setup: Setup, headers: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await setup.policy.admit(make_request(headers), MODELS)
    assert setup.limiter.policies == ["address"]


async def test_too_many_invalid_credentials_are_rate_limited(setup: Setup) -> None:
    setup.limiter.refuses = True
    with pytest.raises(RateLimited):
        await setup.policy.admit(make_request({"authorization": "Bearer rubbish"}), MODELS)


async def test_auth_is_asked_for_no_key_of_an_address_that_is_over_its_limit(setup: Setup) -> None:
    setup.valid_keys = {API_KEY}
    await setup.policy.admit(make_request({"x-api-key": API_KEY}), MODELS)
    setup.limiter.refused_policies.add("address")
    for number in range(3):
        with pytest.raises(RateLimited):
            await setup.policy.admit(make_request({"x-api-key": f"parley_{number:038}"}), MODELS)
    assert setup.exchanges == 2
    await setup.policy.admit(make_request({"x-api-key": API_KEY}), MODELS)
    setup.clock.now += 2
    with pytest.raises(RateLimited):
        await setup.policy.admit(make_request({"x-api-key": f"parley_{4:038}"}), MODELS)
    assert setup.exchanges == 3


async def test_an_exceeded_limit_says_when_to_retry(setup: Setup) -> None:
    setup.limiter.refused_policies.add("user")
    with pytest.raises(RateLimited) as caught:
        await setup.policy.admit(make_request(setup.bearer()), MODELS)
    assert caught.value.detail == "At most 600 requests per minute are allowed. Retry in 2 s."
    assert caught.value.headers == {"Retry-After": "2", "retry-after-ms": "1500"}


async def test_a_missing_scope_is_forbidden_after_the_limits(setup: Setup) -> None:
    with pytest.raises(errors.InsufficientScope):
        await setup.policy.admit(make_request(setup.bearer(scope="chat:write")), EXPORT)
    assert setup.limiter.policies == ["user"]


async def test_a_revoked_session_is_rejected_and_counts_on_the_address(setup: Setup) -> None:
    setup.limiter.revoked = {"s1"}
    with pytest.raises(errors.TokenRevoked):
        await setup.policy.admit(make_request(setup.bearer(sid="s1")), MODELS)
    assert setup.limiter.policies == ["user", "address"]


async def test_a_revoked_api_key_is_an_invalid_one(setup: Setup) -> None:
    setup.key_claims["sid"] = "s1"
    setup.limiter.revoked = {"s1"}
    with pytest.raises(errors.ApiKeyInvalid):
        await setup.policy.admit(make_request({"x-api-key": API_KEY}), MODELS)


async def test_a_key_whose_token_was_voided_by_a_change_of_its_account_gets_another_token(setup: Setup) -> None:
    request = make_request({"x-api-key": API_KEY})
    setup.key_claims["sid"] = "before"
    await setup.policy.admit(request, MODELS)
    setup.key_claims["sid"] = "after"
    setup.limiter.revoked = {"before"}
    await setup.policy.admit(request, MODELS)
    assert request.caller is not None
    assert request.caller.session.session_id == "after"
    assert "address" not in setup.limiter.policies, "the key is valid"


async def test_auth_is_asked_only_while_redis_does_not_know_the_revocations(setup: Setup) -> None:
    setup.revoked_at_auth = ["s1"]
    await setup.policy.admit(make_request(setup.bearer(sid="s1")), MODELS)
    assert setup.lookups == 0
    setup.limiter.revocations_known = False
    with pytest.raises(errors.TokenRevoked):
        await setup.policy.admit(make_request(setup.bearer(sid="s1")), MODELS)
    assert setup.lookups == 1


async def test_a_renewal_with_the_token_of_another_user_is_invalid(setup: Setup) -> None:
    request = make_request(setup.bearer())
    await setup.policy.admit(request, MODELS)
    assert request.caller is not None
    renewed = await setup.policy.renew(request, MODELS, setup.token(sub=request.caller.user))
    assert renewed.user == request.caller.user
    with pytest.raises(errors.TokenInvalid):
        await setup.policy.renew(request, MODELS, setup.token())
    assert setup.limiter.policies == ["user", "user", "address"]


@pytest.mark.parametrize("token", ["", "rubbish", API_KEY, "tökèn"])
async def test_a_renewal_needs_an_access_token(setup: Setup, token: str) -> None:
    with pytest.raises(errors.TokenInvalid):
        await setup.policy.renew(make_request(), MODELS, token)


async def test_revoked_sessions_are_found_in_redis_and_at_auth(setup: Setup) -> None:
    callers = [await setup.policy.renew(make_request(), MODELS, setup.token(sid=f"s{n}")) for n in range(3)]
    sessions = [caller.session for caller in callers]
    setup.limiter.revoked, setup.revoked_at_auth = {"s0"}, ["s2"]
    assert await setup.policy.find_revoked(sessions) == {sessions[0]}
    setup.limiter.revocations_known = False
    assert await setup.policy.find_revoked(sessions) == {sessions[0], sessions[2]}


async def test_the_key_of_an_open_websocket_is_exchanged_again_shortly_before_its_token_expires(setup: Setup) -> None:
    request = make_request({"authorization": f"Bearer {API_KEY}"})
    setup.key_claims["exp"] = setup.issuer.claims()["iat"] + 30
    await setup.policy.admit(request, MODELS)
    known = request.caller
    assert known is not None
    del setup.key_claims["exp"]
    token = await setup.policy.refresh(request)
    assert request.caller is not None
    assert token == request.caller.principal.token != known.principal.token
    assert await setup.policy.refresh(request) is None
    session = make_request(setup.bearer())
    await setup.policy.admit(session, MODELS)
    assert await setup.policy.refresh(session) is None
