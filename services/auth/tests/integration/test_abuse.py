"""Password guessing over HTTP."""

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import structlog

from auth_testing.app import MakeSettings, RunningAuth, StartAuth

pytestmark = pytest.mark.integration
log = structlog.get_logger()

TOKEN = "/api/v1/auth/token"
PASSWORD = "correct horse battery staple"
SAMPLES = 60
ATTACKERS, ATTEMPTS = 5, 8
"""Addresses, and the attempts of each: more than the five that are not delayed."""


@pytest.fixture(scope="module")
async def auth(make_settings: MakeSettings, start: StartAuth) -> AsyncIterator[Any]:
    """An auth app with the password hashes of production."""
    async with start(await make_settings(), hash_cost=None) as found:
        yield found


async def attempt(auth: RunningAuth, username: str, password: str, address: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": username, "password": password}
    return await auth.client.post(TOKEN, data=form, headers={"x-forwarded-for": address})


async def test_the_sixth_attempt_is_throttled(auth: RunningAuth) -> None:
    person = await auth.person()
    for _ in range(5):
        assert (await attempt(auth, person.username, "wrong", "203.0.113.1")).status_code == 400
    refused = await attempt(auth, person.username, PASSWORD, "203.0.113.1")
    assert (refused.status_code, refused.json()["code"]) == (429, "login_throttled")
    assert refused.headers["retry-after"] == "1"
    by_address = await attempt(auth, f"{person.username}@example.org", PASSWORD, "203.0.113.1")
    assert by_address.status_code == 429
    assert (await attempt(auth, person.username, PASSWORD, "203.0.113.2")).status_code == 200


async def test_unknown_names_are_throttled_like_known_ones(auth: RunningAuth) -> None:
    answers = [await attempt(auth, "nobody-here", "wrong", "203.0.113.3") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [400] * 5 + [429]


async def test_concurrent_guesses_get_no_more_attempts(auth: RunningAuth) -> None:
    person = await auth.person()
    answers = await asyncio.gather(*(attempt(auth, person.username, "wrong", "203.0.113.4") for _ in range(40)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {400, 429}
    assert statuses.count(400) <= 6


async def test_a_correct_password_from_a_clean_address_succeeds_during_an_attack(auth: RunningAuth) -> None:
    person, refused = await auth.person(), 0

    async def attack(number: int) -> None:
        nonlocal refused
        for _ in range(ATTEMPTS):
            answer = await attempt(auth, person.username, "wrong", f"198.51.100.{number}")
            assert answer.status_code in {400, 429, 503}
            refused += 1

    attackers = [asyncio.create_task(attack(number)) for number in range(ATTACKERS)]
    outcomes: list[int] = []
    while not all(attacker.done() for attacker in attackers):
        answer = await attempt(auth, person.username, PASSWORD, f"203.0.113.{100 + len(outcomes) % 100}")
        outcomes.append(answer.status_code)
    await asyncio.gather(*attackers)
    assert refused == ATTACKERS * ATTEMPTS
    assert len(outcomes) >= 2
    assert set(outcomes) == {200}


async def test_one_password_tried_on_many_accounts_from_one_address_is_slowed_down(auth: RunningAuth) -> None:
    answers = [await attempt(auth, f"user-{number}", "Summer2026!!", "198.51.100.200") for number in range(35)]
    assert [answer.status_code for answer in answers].count(400) <= 31
    assert answers[-1].status_code == 429


@pytest.mark.alone
@pytest.mark.chaos
async def test_an_unknown_user_takes_as_long_as_a_wrong_password(auth: RunningAuth) -> None:
    person = await auth.person()
    for _ in range(2):
        unknown, wrong = await _timings(auth, person.username)
        significance = _mann_whitney(unknown, wrong)
        log.info("measured", unknown_ms=_median_ms(unknown), wrong_ms=_median_ms(wrong), p=round(significance, 3))
        if significance > 0.01:
            return
    pytest.fail("the distributions separate")


async def _timings(auth: RunningAuth, username: str) -> tuple[list[float], list[float]]:
    unknown: list[float] = []
    wrong: list[float] = []
    for number in range(SAMPLES):
        pair = [(f"nobody-{number:08}", unknown), (username, wrong)]
        for name, found in pair if number % 2 else reversed(pair):
            address = f"2001:db8:{time.monotonic_ns() % 65536:x}:{number:x}::1"
            began = time.perf_counter()
            answer = await attempt(auth, name, "wrong password", address)
            found.append(time.perf_counter() - began)
            assert answer.status_code == 400
    return unknown, wrong


def _median_ms(found: list[float]) -> float:
    return round(statistics.median(found) * 1e3, 2)


def _mann_whitney(one: list[float], other: list[float]) -> float:
    """Return the two-sided p of the U test, by the normal approximation."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(rank for rank, (_, sample) in enumerate(ranked, 1) if sample == 0)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    z = abs(u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(z / math.sqrt(2))
