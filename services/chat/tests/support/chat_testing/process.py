"""Chat services that run as processes of their own, to be killed."""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

from chat_testing.replica import ChatReplica
from chat_testing.stub_history import StubHistory
from chat_testing.wiring import LEASE_LENGTH
from parley.messaging.memory_bus import MemoryBus
from parley.storage.postgres import Pool
from parley_embedded.process.child import ChildProcess, ServerCommand
from parley_embedded.sockets import free_port
from parley_testing.security.token_issuer import TestIssuer
from parley_testing.stacks.commands import answers, environment
from parley_testing.stacks.service_process import START_SECONDS

PROCESS_SCRIPT = Path(__file__).parent.parent / "chat_process.py"


class ChatProcess(ChatReplica):
    """A chat service as a process of its own."""

    def __init__(self, child: ChildProcess, url: str, dsn: str, issuer: TestIssuer, pool: Pool) -> None:
        super().__init__(None, url, dsn, issuer, pool, MemoryBus())
        self.child = child


class SpawnChat(Protocol):
    """Starts a chat service as a process on a database with changed settings."""

    def __call__(self, dsn: str, pool: Pool, **changed: str) -> contextlib.AbstractAsyncContextManager[ChatProcess]: ...


def process_options(dsn: str, redis_url: str, history: StubHistory, provider_url: str) -> dict[str, str]:
    """Return the environment of a process on these backends."""
    return {
        "ADMIN_PORT": "0",
        "CHAT_DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "AUTH_URL": history.url,
        "HISTORY_URL": history.url,
        "JWKS_URL": f"{history.url}/.well-known/jwks.json",
        "INTERNAL_CLIENT_SECRET": "secret",
        "OPENAI_BASE_URL": provider_url,
        "OPENAI_MODEL": "fake",
        "LEASE_LENGTH": str(LEASE_LENGTH),
    }


@contextlib.asynccontextmanager
async def running_process(
    folder: Path, settings: Mapping[str, str], issuer: TestIssuer, pool: Pool
) -> AsyncIterator[ChatProcess]:
    """Run a chat service with these settings on a free port until the context ends."""
    port = free_port()
    command = ServerCommand(
        name="chat",
        arguments=[sys.executable, str(PROCESS_SCRIPT)],
        folder=folder,
        environment=environment(**settings, PORT=str(port)),
    )
    child = ChildProcess(command)
    await child.start()
    replica = ChatProcess(child, f"http://127.0.0.1:{port}", settings["CHAT_DATABASE_URL"], issuer, pool)
    try:
        await child.wait_until(lambda: answers(f"{replica.url}/ready"), START_SECONDS)
        yield replica
    finally:
        await replica.client.aclose()
        await child.stop()
