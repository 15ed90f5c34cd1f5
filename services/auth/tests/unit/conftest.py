"""Fixtures: the services over in-memory stores."""

import contextlib
from collections.abc import Iterator

import pytest

from auth.security.password_hashing import PasswordHasher
from auth_testing.unit_services import FAST_HASH, UnitAuth, unit_auth


@pytest.fixture(scope="session")
def fast_hasher() -> Iterator[PasswordHasher]:
    with contextlib.closing(PasswordHasher(workers=2, queue=100, cost=FAST_HASH)) as hasher:
        yield hasher


@pytest.fixture
async def auth(fast_hasher: PasswordHasher) -> UnitAuth:
    return await unit_auth(fast_hasher)
