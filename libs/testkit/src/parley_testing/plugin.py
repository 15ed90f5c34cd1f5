"""Pytest plugin: order of tests, shared backends, time of each tier, and a list of the tests that could not run."""

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from parley_testing.backends.shared_servers import SharedBackends

TIERS = ("unit", "integration", "e2e")
_HANDED_DOWN = "parley_postgres"
"""The entry of a worker's input that holds the controller's PostgreSQL server."""


def tier_of(item: pytest.Item | pytest.TestReport) -> str:
    """Return the tier of a test: ``unit`` unless it is marked otherwise."""
    return next((name for name in ("e2e", "integration") if name in item.keywords), "unit")


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process runs tests for a controller."""
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("one_worker", "paths whose tests run in one worker because they share a slow server", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    if is_worker(config):
        from parley_testing.scheduling import ONE_WORKER, GroupEnds, GroupMembers, Groups

        _rotate_arguments(config)
        _take_own_ports(config)
        groups = Groups(config.getini(ONE_WORKER))
        config.pluginmanager.register(GroupEnds(groups))
        config.pluginmanager.register(GroupMembers(groups))
    elif config.getoption("dist", "no") != "no":
        config.pluginmanager.register(Controller())


def _rotate_arguments(config: pytest.Config) -> None:
    # The first worker that imports a test module compiles it for all. In a new clone they share this work when each
    # begins at another folder.
    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    start = int(worker["workerid"].removeprefix("gw")) * len(config.args) // worker["workercount"]
    config.args[:] = [*config.args[start:], *config.args[:start]]


def _take_own_ports(config: pytest.Config) -> None:
    # A port is free from its choice to the start of the server. Two workers never choose the same one meanwhile.
    from parley_embedded import sockets

    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    number, share = int(worker["workerid"].removeprefix("gw")), len(sockets.PORTS) // worker["workercount"]
    sockets.PORTS = sockets.PORTS[number * share : (number + 1) * share]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without a run of the garbage collector: what is collected is used until the session ends."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Alone, the fast tests come first. Among workers they come last, so that all workers finish at the same time.
    if is_worker(config):
        items.sort(key=lambda item: (-TIERS.index(tier_of(item)), item.path))
    else:
        items.sort(key=lambda item: TIERS.index(tier_of(item)))


class Controller:
    """Starts one PostgreSQL server for all workers and assigns files to workers."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._backends: SharedBackends | None = None
        self._handed_down: tuple[str, str] | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        from parley_testing.backends.shared_servers import SharedBackends, UnavailableError

        self._backends = SharedBackends()
        try:
            self._handed_down = self._loop.run_until_complete(self._backends.start_postgres())
        except UnavailableError:
            self._handed_down = None  # each worker finds the reason again and reports it

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_HANDED_DOWN] = self._handed_down

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        from parley_testing.scheduling import FileScheduling

        return FileScheduling(config, log) if config.option.dist == "loadfile" else None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._backends is not None:
            self._loop.run_until_complete(self._backends.stop())
        self._loop.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for found in terminalreporter.stats.values() for report in found if isinstance(report, pytest.TestReport)
    ]
    _print_time_by_tier(terminalreporter, reports)
    _print_skipped(terminalreporter)


def _print_time_by_tier(terminalreporter: pytest.TerminalReporter, reports: list[pytest.TestReport]) -> None:
    seconds, tests = Counter[str](), Counter[str]()
    for report in reports:
        seconds[tier_of(report)] += report.duration  # type: ignore[assignment]  # a counter of seconds
        tests[tier_of(report)] += report.when == "call"
    for tier in TIERS:
        if seconds[tier]:
            terminalreporter.write_line(f"{tier} tests: {tests[tier]} in {seconds[tier]:.1f} s, summed over workers")


def _print_skipped(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("tests that could not run")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail in CI when a test was skipped: a tier that did not run proves nothing."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    yield from _skip_without_backend()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield from _skip_without_backend()


def _skip_without_backend() -> Generator[None]:
    from parley_testing.backends.shared_servers import UnavailableError

    try:
        yield
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
async def backends(request: pytest.FixtureRequest) -> "AsyncIterator[SharedBackends]":
    """Throw-away PostgreSQL, Redis and RabbitMQ, each started when a test first uses it."""
    from parley_testing.backends.shared_servers import SharedBackends

    handed_down = getattr(request.config, "workerinput", {}).get(_HANDED_DOWN)
    async with SharedBackends(postgres=handed_down) as found:
        yield found
