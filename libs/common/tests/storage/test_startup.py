"""The start of a service while its database is away."""

import asyncio
import socket
from collections.abc import Callable

import asyncpg
import pytest

from parley.errors import DependencyUnavailable
from parley.process.failures import StartError
from parley.storage.migrations import MigrationError
from parley.storage.startup import RETRY_INTERVAL, DatabaseStartup, address_of
from parley.web.lifecycle import Lifecycle
from parley_testing.telemetry.captured_logs import captured_logs
from parley_testing.virtual_time import virtual_time

DSN = "postgresql://chat:hidden@db.example:5432/chat"
OUTAGES: dict[str, tuple[Exception, str]] = {
    "slow": (TimeoutError(), "TimeoutError"),
    "no name": (socket.gaierror(-3, "Temporary failure in name resolution"), "gaierror: [Errno -3] Temporary failure"),
    "refused": (ConnectionRefusedError(111, "Connect call failed"), "ConnectionRefusedError: [Errno 111]"),
    "starting": (asyncpg.CannotConnectNowError("the database system is starting up"), "CannotConnectNowError: the"),
}


def failing(error: BaseException, times: int) -> Callable[[], "asyncio.Future[str]"]:
    """Return a step that fails a number of times, and then succeeds."""
    left = iter([error] * times)

    def step() -> "asyncio.Future[str]":
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        found = next(left, None)
        if found is None:
            done.set_result("open")
        else:
            done.set_exception(found)
        return done

    return step


@pytest.mark.parametrize("name", OUTAGES)
def test_a_start_waits_for_the_database_and_says_for_which_in_one_line(name: str) -> None:
    error, reason = OUTAGES[name]
    lifecycle = Lifecycle()
    seen: list[tuple[bool, dict[str, str]]] = []

    def report(dependency: str | None) -> None:
        lifecycle.wait_for(dependency)
        seen.append(lifecycle.readiness())

    @virtual_time
    async def start() -> None:
        assert await DatabaseStartup(DSN, report).run(failing(error, 5)) == "open"
        assert asyncio.get_running_loop().time() == pytest.approx(5 * RETRY_INTERVAL)

    with captured_logs() as logs:
        start()
    assert [line["event"] for line in logs] == ["start_waits", "start_continues"]
    assert logs[0]["address"] == "db.example:5432"
    assert logs[0]["reason"].startswith(reason)
    assert "hidden" not in repr(logs)
    assert seen[0] == (False, {"status": "starting", "waiting_for": "postgres at db.example:5432"})
    assert seen[-1] == (False, {"status": "starting"})


@virtual_time
async def test_a_step_that_finds_the_database_lost_again_is_repeated() -> None:
    error = DependencyUnavailable("The database is temporarily unavailable.")
    error.__cause__ = TimeoutError()
    assert await DatabaseStartup(DSN, lambda _: None).run(failing(error, 2)) == "open"


@pytest.mark.parametrize("error", [MigrationError("changed"), asyncpg.PostgresSyntaxError("syntax")])
async def test_an_error_that_waiting_does_not_mend_ends_the_start_with_its_class_and_the_address(
    error: Exception,
) -> None:
    with pytest.raises(StartError, match=rf"postgres at db.example:5432: {type(error).__name__}: "):
        await DatabaseStartup(DSN, lambda _: None).run(failing(error, 1))


async def test_a_file_that_is_missing_ends_the_start_but_a_missing_socket_does_not() -> None:
    with pytest.raises(FileNotFoundError):
        await DatabaseStartup(DSN, lambda _: None).run(failing(FileNotFoundError(2, "No such file", "ca.pem"), 1))
    assert await DatabaseStartup(DSN, lambda _: None).run(failing(FileNotFoundError(2, "No such file"), 1)) == "open"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://u:p@one:1,two:2/db?sslmode=verify-full", "one:1,two:2"),
        ("postgresql://u:p@/db?host=/var/run/pg", "/var/run/pg"),
        ("postgresql:///db", "the default address"),
    ],
)
def test_the_address_of_a_store_has_no_credentials(url: str, address: str) -> None:
    assert address_of(url) == address
