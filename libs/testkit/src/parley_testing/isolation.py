"""Pytest plugin: keep the developer's settings, other tests' logging and waits for absent services out of a test."""

import gc
import logging
import os
from collections.abc import Iterator

import pytest

SETTINGS_PREFIXES = (
    "OPENAI_",
    "GATEWAY_",
    "AUTH_",
    "CHAT_",
    "HISTORY_",
    "WEBHOOKS_",
    "RATE_LIMIT_",
    "CORS_",
    "PARLEY_",
    "OTEL_",
)
BACKEND_URLS = ("DATABASE_URL", "REDIS_URL", "AMQP_URL")


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own settings out of the tests."""
    for name in list(os.environ):
        if name.startswith(SETTINGS_PREFIXES) or name in BACKEND_URLS or name.endswith("_DATABASE_URL"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log exceptions without rich, which takes seconds for each."""
    import structlog

    *before, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*before, renderer])


@pytest.fixture(autouse=True)
def _restored_logging(_plain_tracebacks: None) -> Iterator[None]:
    """Restore the logging configuration, which a command run in this process sets, often with a file that it closes."""
    import structlog

    from parley.observability import logs

    configured, output = structlog.get_config(), logs._output
    handlers, levels = logging.root.handlers[:], _levels()
    yield
    structlog.configure(**configured)
    logs._output = output
    logging.root.handlers[:] = handlers
    for name, level in _levels().items():
        if level != (before := levels.get(name, logging.NOTSET)):
            logging.getLogger(name).setLevel(before)


def _levels() -> dict[str, int]:
    """Return the level of each logger by its name; the root's name is ``root``."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return {logger.name: logger.level for logger in loggers if isinstance(logger, logging.Logger)}


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_keys() -> Iterator[None]:
    """Start services inside the tests at once: most of these tests run no auth that has public keys."""
    from parley.security import jwks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jwks, "PRELOAD_TIMEOUT", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Report leaked resources before the session ends."""
    yield
    gc.collect()
