"""Public keys of auth: fetched when needed, cached, and kept while auth is unavailable."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from parley import errors
from parley.security.jwks import FIRST_FETCH_ATTEMPTS, KeySet, open_key_set
from parley.security.tokens import TokenVerifier
from parley_testing.fakes.manual_clock import ManualClock
from parley_testing.http.scripted_server import respond, scripted_server
from parley_testing.security.key_source import FakeKeySource
from parley_testing.security.token_issuer import ISSUER, TestIssuer
from parley_testing.telemetry.captured_logs import captured_logs

ISSUER_OF_AUTH = TestIssuer()


async def test_a_token_is_not_reported_as_invalid_while_no_key_is_available() -> None:
    jwks = FakeKeySource()
    jwks.is_down = True
    with pytest.raises(errors.DependencyUnavailable):
        await TokenVerifier(KeySet(jwks), issuer=ISSUER).verify(ISSUER_OF_AUTH.token())


async def test_cached_keys_stay_in_use_while_auth_is_unavailable() -> None:
    clock, jwks = ManualClock(time.time()), FakeKeySource(ISSUER_OF_AUTH)
    verifier = TokenVerifier(KeySet(jwks, clock=clock), issuer=ISSUER)
    await verifier.verify(ISSUER_OF_AUTH.token())
    jwks.is_down = True
    clock.now += 3600
    await verifier.verify(ISSUER_OF_AUTH.token())


async def test_a_new_key_is_fetched_on_first_use_and_a_retired_key_is_rejected() -> None:
    clock, old, new = ManualClock(time.time()), TestIssuer(kid="old"), TestIssuer(kid="new")
    jwks = FakeKeySource(old)
    verifier = TokenVerifier(KeySet(jwks, clock=clock), issuer=ISSUER)
    await verifier.verify(old.token())
    jwks.issuers = [new]
    clock.now += 31
    await verifier.verify(new.token())
    assert jwks.fetches == 2
    with pytest.raises(errors.TokenInvalid):
        await verifier.verify(old.token())


async def test_unknown_key_ids_cause_one_fetch_in_the_cooldown() -> None:
    clock, jwks = ManualClock(time.time()), FakeKeySource(ISSUER_OF_AUTH)
    verifier = TokenVerifier(KeySet(jwks, clock=clock), issuer=ISSUER)
    await verifier.verify(ISSUER_OF_AUTH.token())
    for number in range(50):
        with pytest.raises(errors.TokenInvalid):
            await verifier.verify(ISSUER_OF_AUTH.sign(ISSUER_OF_AUTH.claims(), headers={"kid": f"k{number}"}))
    assert jwks.fetches == 1


async def test_concurrent_first_uses_of_a_key_cause_one_fetch() -> None:
    jwks = FakeKeySource(ISSUER_OF_AUTH)
    verifier = TokenVerifier(KeySet(jwks), issuer=ISSUER)
    await asyncio.gather(*(verifier.verify(ISSUER_OF_AUTH.token()) for _ in range(10)))
    assert jwks.fetches == 1


async def test_keys_are_fetched_over_http() -> None:
    document = json.dumps(ISSUER_OF_AUTH.jwks()).encode()
    async with scripted_server(respond(200, body=document)) as auth, open_key_set(f"{auth.url}/keys") as keys:
        assert await keys.find("test-key") is not None
        assert auth.journal[0].target == "/keys"


async def test_an_error_response_is_no_key_set() -> None:
    async with scripted_server(respond(503)) as auth, open_key_set(auth.url, preload=False) as keys:
        with pytest.raises(errors.DependencyUnavailable):
            await keys.find("test-key")


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.ConnectError("All connection attempts failed"),
        httpx2.RemoteProtocolError("Server disconnected"),
        httpx2.HTTPStatusError("503", request=httpx2.Request("GET", "http://auth"), response=httpx2.Response(503)),
        TimeoutError(),
        KeyError("keys"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_starting_process_tries_again_after_any_failure(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.security.jwks.PRELOAD_TIMEOUT", 60)
    monkeypatch.setattr("parley.security.jwks.PRELOAD_INTERVAL", 0)
    failures = [failure, failure]

    async def fetch() -> Mapping[str, Any]:
        if failures:
            raise failures.pop()
        return ISSUER_OF_AUTH.jwks()

    keys, reports = KeySet(fetch), list[str | None]()
    await keys.preload(reports.append)
    assert reports == ["auth", None]
    assert await keys.find("test-key") is not None


async def test_a_start_without_keys_logs_the_last_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.security.jwks.PRELOAD_TIMEOUT", 0.01)

    async def fetch() -> Mapping[str, Any]:
        raise httpx2.ConnectError("All connection attempts failed")

    with captured_logs() as logs:
        await KeySet(fetch).preload()
    assert [(each["event"], each["reason"]) for each in logs] == [
        ("start_waits", "ConnectError"),
        ("started_without_keys", "ConnectError"),
    ]


async def test_a_starting_process_asks_once_for_keys_that_auth_does_not_have() -> None:
    jwks = FakeKeySource()
    await KeySet(jwks).preload()
    assert jwks.fetches == 1


async def test_a_starting_process_begins_without_keys_when_auth_stays_silent() -> None:
    attempts = 0

    async def fetch() -> Mapping[str, Any]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.sleep(60)
        return ISSUER_OF_AUTH.jwks()

    keys = KeySet(fetch)
    await keys.preload()
    await TokenVerifier(keys, issuer=ISSUER).verify(ISSUER_OF_AUTH.token())
    assert attempts == 2


async def test_the_first_keys_are_asked_for_again_when_a_connection_fails() -> None:
    failures = [httpx2.ConnectTimeout("gone")]

    async def fetch() -> Mapping[str, Any]:
        if failures:
            raise failures.pop()
        return ISSUER_OF_AUTH.jwks()

    await TokenVerifier(KeySet(fetch), issuer=ISSUER).verify(ISSUER_OF_AUTH.token())


async def test_requests_that_wait_for_the_first_keys_share_their_failure() -> None:
    clock, attempts = ManualClock(time.time()), 0

    async def fetch() -> Mapping[str, Any]:
        nonlocal attempts
        attempts += 1
        clock.now += 2
        raise httpx2.ConnectTimeout("gone")

    verifier = TokenVerifier(KeySet(fetch, clock=clock), issuer=ISSUER)
    waiting = (verifier.verify(ISSUER_OF_AUTH.token()) for _ in range(10))
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in results] == [errors.DependencyUnavailable] * 10
    assert attempts == FIRST_FETCH_ATTEMPTS
