"""Classification of Postgres errors, and what each class means for an event."""

import asyncpg
import pytest

from parley.messaging.outages import SERVICE_FAILURE_POLICY
from parley.storage.postgres_errors import is_conflict, is_stale, is_transient, is_unavailable


def error_of(sqlstate: str) -> asyncpg.PostgresError:
    """Return the exception that asyncpg raises for an SQLSTATE."""
    error = asyncpg.PostgresError.new({"C": sqlstate, "S": "ERROR", "M": "no"})
    assert isinstance(error, asyncpg.PostgresError)
    return error


UNREACHABLE = [
    "08000",
    "08001",
    "08003",
    "08004",
    "08006",
    "08007",
    "08P01",
    "57P01",
    "57P02",
    "57P03",
    "57P04",
    "57P05",
]
REFUSED = ["25006", "25P03", "25P04", "26000", "28000", "28P01", "3D000", "40003", "42501", "F0001"]
BROKEN = ["58000", "58030", "58P01", "XX000", "XX001", "XX002"]
SHORT_OF_RESOURCES = ["53000", "53100", "53200", "53300", "53400", "55000", "55006", "55P03", "57014", "72000"]
UNKNOWN_CODES = ["08ZZZ", "53ZZZ", "58ZZZ"]
CONFLICTS = ["40000", "40001", "40P01"]
OF_THE_STATEMENT = [
    "22003",
    "22021",
    "22P05",
    "23502",
    "23505",
    "23514",
    "40002",
    "42601",
    "42P01",
    "42703",
    "54000",
    "P0001",
]


@pytest.mark.parametrize("sqlstate", [*UNREACHABLE, *REFUSED, *BROKEN, *SHORT_OF_RESOURCES, *UNKNOWN_CODES])
def test_a_server_that_cannot_serve_is_unavailable_and_uses_no_attempt_at_an_event(sqlstate: str) -> None:
    error = error_of(sqlstate)
    assert (is_unavailable(error), is_conflict(error)) == (True, False)
    assert not SERVICE_FAILURE_POLICY.uses_attempt(error)


@pytest.mark.parametrize("sqlstate", [*UNREACHABLE, *REFUSED, *BROKEN])
def test_connections_to_a_server_that_refuses_to_serve_are_stale(sqlstate: str) -> None:
    assert is_stale(error_of(sqlstate))


@pytest.mark.parametrize("sqlstate", [*SHORT_OF_RESOURCES, *CONFLICTS, *OF_THE_STATEMENT])
def test_other_errors_leave_the_connections_in_use(sqlstate: str) -> None:
    assert not is_stale(error_of(sqlstate))


@pytest.mark.parametrize("sqlstate", CONFLICTS)
def test_a_conflict_is_tried_again_and_uses_no_attempt_at_an_event(sqlstate: str) -> None:
    error = error_of(sqlstate)
    assert (is_unavailable(error), is_conflict(error)) == (False, True)
    assert not SERVICE_FAILURE_POLICY.uses_attempt(error)


def test_a_plan_that_a_migration_made_invalid_is_a_conflict() -> None:
    assert is_conflict(asyncpg.exceptions.InvalidCachedStatementError())


@pytest.mark.parametrize("sqlstate", OF_THE_STATEMENT)
def test_an_error_of_the_statement_counts_against_its_event(sqlstate: str) -> None:
    error = error_of(sqlstate)
    assert not is_transient(error)
    assert SERVICE_FAILURE_POLICY.uses_attempt(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("connection lost"),
        asyncpg.exceptions.TargetServerAttributeNotMatched("no writer"),
    ],
)
def test_a_lost_or_missing_connection_is_unavailable(error: Exception) -> None:
    assert is_unavailable(error)
    assert not SERVICE_FAILURE_POLICY.uses_attempt(error)


def test_a_value_that_the_client_cannot_encode_is_an_error_of_the_statement() -> None:
    error = asyncpg.DataError("value out of int32 range")
    assert not is_unavailable(error)
    assert SERVICE_FAILURE_POLICY.uses_attempt(error)
