"""Lookups of revoked sessions at auth."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.access.revocations import RevocationLookup, one_issue_time_per_user
from gateway.errors import UpstreamUnavailable
from parley.ratelimit.limiter import TokenSession

ADA, BOB = TokenSession("s-ada", "ada", 100), TokenSession("s-bob", "bob", 100)


class FakeRevocationSource:
    """Answers lookups, or fails."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.fails = False

    async def look_up(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        if self.fails:
            raise UpstreamUnavailable
        return {"revoked_sessions": ["s-ada"], "revoked_users": ["eve"]}


@pytest.fixture
def auth() -> FakeRevocationSource:
    return FakeRevocationSource()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def revocations(auth: FakeRevocationSource, registry: CollectorRegistry) -> RevocationLookup:
    return RevocationLookup(auth.look_up, registry)


async def test_sessions_of_one_moment_are_looked_up_together_and_cached(
    revocations: RevocationLookup, auth: FakeRevocationSource
) -> None:
    for _ in range(2):
        found = await asyncio.gather(*(revocations.is_revoked(each) for each in (ADA, BOB, ADA)))
        assert found == [True, False, True]
    assert auth.bodies == [{"sessions": ["s-ada", "s-bob"], "users": {"ada": 100, "bob": 100}}]


async def test_all_sessions_of_a_revoked_user_are_revoked(revocations: RevocationLookup) -> None:
    sessions = [TokenSession("s-1", "eve", 1), TokenSession("s-2", "eve", 2)]
    assert await revocations.revoked_among([BOB, *sessions]) == set(sessions)


async def test_the_sessions_of_open_streams_are_looked_up_together(
    revocations: RevocationLookup, auth: FakeRevocationSource
) -> None:
    users = [TokenSession(f"s-{number}", f"user-{number}", 1) for number in range(100)]
    assert await revocations.revoked_among([ADA, *users]) == {ADA}
    assert len(auth.bodies) == 1


async def test_two_issue_times_of_a_user_take_two_lookups(
    revocations: RevocationLookup, auth: FakeRevocationSource
) -> None:
    later = TokenSession("s-bob-2", "bob", 200)
    assert list(one_issue_time_per_user([BOB, later, ADA])) == [BOB, ADA]
    await asyncio.gather(revocations.is_revoked(BOB), revocations.is_revoked(later))
    assert [body["users"] for body in auth.bodies] == [{"bob": 100}, {"bob": 200}]


async def test_without_auth_sessions_are_accepted_and_counted(
    revocations: RevocationLookup, auth: FakeRevocationSource, registry: CollectorRegistry
) -> None:
    auth.fails = True
    assert not await revocations.is_revoked(ADA)
    assert not await revocations.is_revoked(ADA)
    assert len(auth.bodies) == 1, "auth is not asked again for a while"
    assert registry.get_sample_value("gateway_revocation_unchecked_total") == 2
