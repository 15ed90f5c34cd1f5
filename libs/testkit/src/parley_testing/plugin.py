"""The pytest plugin: order of the tiers, real backends, and an account of what could not run."""

import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from parley_testing.two_halves import TwoHalves

if TYPE_CHECKING:
    from parley_testing.backends.shared import Backends

_TIERS = ("unit", "integration", "e2e")
_SETTINGS_PREFIXES = ("OPENAI_", "GATEWAY_", "AUTH_", "CHAT_", "HISTORY_", "RATE_LIMIT_", "CORS_", "PARLEY_", "OTEL_")
_BACKEND_URLS = ("DATABASE_URL", "REDIS_URL", "AMQP_URL")


def tier(item: pytest.Item) -> str:
    """Return the tier a test belongs to: ``unit`` unless it is marked."""
    for name in ("e2e", "integration"):
        if item.get_closest_marker(name):
            return name
    return "unit"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know a setting of ours."""
    parser.addini("one_worker", "paths whose tests go to one worker: they share a slow server", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    """Let a session with workers have a second half without them."""
    config.pluginmanager.register(TwoHalves())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast tests first."""
    items.sort(key=lambda item: _TIERS.index(tier(item)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that could not run, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("tests that could not run")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail in CI when anything was skipped: a tier that did not run proved nothing."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Skip a test whose backend cannot be had on this machine."""
    yield from _skip_without_backend()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Skip a test that finds out while it runs."""
    yield from _skip_without_backend()


def _skip_without_backend() -> Generator[None]:
    from parley_testing.backends.shared import UnavailableError

    try:
        yield
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own settings out of the tests."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS_PREFIXES) or name in _BACKEND_URLS or name.endswith("_DATABASE_URL"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log exceptions without rich, which takes seconds for each."""
    import structlog

    *before, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*before, renderer])


@pytest.fixture(scope="session", autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Let what a test leaked be noticed before the session ends."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
async def backends() -> "AsyncIterator[Backends]":
    """Throw-away Postgres, Redis and RabbitMQ, started when first used."""
    from parley_testing.backends.shared import Backends

    async with Backends() as found:
        yield found
