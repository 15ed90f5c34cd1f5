"""The Postgres pool, without a server."""

import asyncpg
import pytest

from parley.errors import DependencyUnavailable
from parley.storage.postgres import open_pool, translate_unavailable
from parley.web.server import free_socket


def test_an_unavailable_database_is_an_unavailable_dependency_with_retry_after() -> None:
    with (
        pytest.raises(DependencyUnavailable, match="The history is temporarily unavailable") as caught,
        translate_unavailable("The history"),
    ):
        raise asyncpg.ReadOnlySQLTransactionError
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_a_conflict_that_persists_is_an_unavailable_dependency() -> None:
    with pytest.raises(DependencyUnavailable), translate_unavailable():
        raise asyncpg.DeadlockDetectedError


def test_other_errors_of_the_database_are_not_translated() -> None:
    with pytest.raises(asyncpg.UniqueViolationError), translate_unavailable():
        raise asyncpg.UniqueViolationError


async def test_a_pool_cannot_be_opened_without_a_server() -> None:
    with free_socket() as bound, pytest.raises(OSError, match=r"onnect"):
        async with open_pool(f"postgresql://ada@127.0.0.1:{bound.getsockname()[1]}/none"):
            pass
