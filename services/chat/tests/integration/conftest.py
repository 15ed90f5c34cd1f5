"""Chat over real Postgres and Redis, a real socket, and the fake provider; history is a stub of its routes."""

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2
import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from chat.main import create_app
from chat.settings import ChatSettings
from chat.wiring import ChatServices
from chat_testing.wiring import LEASE_LENGTH, wire_for_tests
from parley.config.settings import load
from parley.ids import new_id
from parley.messaging import outbox
from parley.messaging.memory_bus import MemoryBus
from parley.storage import migrations
from parley.storage.postgres import Pool, open_pool
from parley.web.runtime import Runtime
from parley.web.server import free_socket, make_server
from parley_embedded.process.child import ChildProcess, ServerCommand
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.backends.shared import SharedBackends
from parley_testing.security.token_issuer import ALL_SCOPES, TestIssuer
from parley_testing.stacks.commands import answers, environment

if TYPE_CHECKING:
    from fake_provider.process import FakeProvider


@dataclasses.dataclass
class Event:
    """One block of an event stream."""

    id: int | None
    name: str | None
    data: dict[str, Any]


@dataclasses.dataclass
class StubHistory:
    """What history would say."""

    url: str = ""
    owners: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    messages: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    known: set[str] = dataclasses.field(default_factory=set)
    down: bool = False
    jwks: dict[str, Any] = dataclasses.field(default_factory=dict)
    asked: list[str] = dataclasses.field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def note(request: Request, call_next: Any) -> Any:
            self.asked.append(request.url.path)
            return JSONResponse({}, 503) if self.down else await call_next(request)

        @app.post("/api/v1/auth/token")
        async def token() -> dict[str, Any]:
            return {"access_token": "service", "expires_in": 900}

        @app.get("/.well-known/jwks.json")
        async def jwks() -> Any:
            return self.jwks

        @app.get("/internal/conversations/{conversation_id}/owner")
        async def owner(conversation_id: str) -> JSONResponse:
            found = self.owners.get(conversation_id)
            return JSONResponse(found or {}, 200 if found else 404)

        @app.get("/api/v1/conversations/{conversation_id}/messages")
        async def messages(conversation_id: str) -> dict[str, Any]:
            return {"data": self.messages.get(conversation_id, []), "next_cursor": None}

        @app.post("/internal/turns/known")
        async def known(request: Request) -> dict[str, Any]:
            asked = orjson.loads(await request.body())["turn_ids"]
            return {"known": [turn_id for turn_id in asked if turn_id in self.known]}

        return app


class Person:
    """A caller of one replica."""

    def __init__(self, replica: "Replica", user_id: UUID, scope: str) -> None:
        self.id, self.replica = user_id, replica
        self.token = replica.issuer.token(user_id, scope=scope)
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def at(self, replica: "Replica") -> "Person":
        """Return the same person as a caller of another replica."""
        return Person(replica, self.id, ALL_SCOPES)

    async def ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> Any:
        """Send a request; returns the response."""
        return await self.replica.client.request(method, path, headers={**self.headers, **(headers or {})}, **options)

    async def chat(self, message: str | None = "Hello", **members: Any) -> Any:
        """Post a turn and wait for its answer; returns the response."""
        headers = members.pop("headers", None)
        body = {"message": message, **members} if message is not None else members
        return await self.ask("POST", "/api/v1/chat", json=body, headers=headers)

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, method: str = "POST", headers: dict[str, str] | None = None, **options: Any
    ) -> AsyncIterator[tuple[Any, AsyncIterator[Event]]]:
        """Open an event stream; yields the response and its events."""
        request = self.replica.client.stream(method, path, headers={**self.headers, **(headers or {})}, **options)
        async with request as response:
            yield response, events(response)

    async def streamed(self, path: str, **options: Any) -> list[Event]:
        """Return all events of a stream."""
        async with self.stream(path, **options) as (response, found):
            assert response.status_code == 200, await response.aread()
            return [event async for event in found]

    async def resumed(self, turn_id: str, after: int | None = None) -> list[Event]:
        """Return the events of a turn behind a cursor."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        return await self.streamed(f"/api/v1/chat/turns/{turn_id}/stream", method="GET", headers=headers)

    async def turn(self, turn_id: str) -> Any:
        """Return a turn."""
        response = await self.ask("GET", f"/api/v1/chat/turns/{turn_id}")
        assert response.status_code == 200, response.text
        return response.json()


async def events(response: Any) -> AsyncIterator[Event]:
    """Parse an event stream."""
    lines: list[str] = []
    async for line in response.aiter_lines():
        if line:
            lines.append(line)
            continue
        event = _event(lines)
        lines = []
        if event is not None:
            yield event


def _event(lines: list[str]) -> Event | None:
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
    if "data" not in fields:
        return None
    data = {} if fields["data"] == "[DONE]" else orjson.loads(fields["data"])
    return Event(int(fields["id"]) if "id" in fields else None, fields.get("event"), data)


class Replica:
    """One running chat; ``app`` is None when it is a process of its own."""

    def __init__(self, app: Any, url: str, issuer: TestIssuer, pool: Pool, bus: MemoryBus) -> None:
        self.app, self.url, self.issuer, self.pool, self.bus = app, url, issuer, pool, bus
        self.client = httpx2.AsyncClient(base_url=url, timeout=60)

    @property
    def wired(self) -> ChatServices:
        wired: ChatServices = self.app.state.wired
        return wired

    def person(self, user_id: UUID | None = None, scope: str = ALL_SCOPES) -> Person:
        """Return somebody who uses this replica."""
        return Person(self, user_id or new_id(), scope)

    async def outbox(self, conversation_id: str) -> list[dict[str, Any]]:
        """Return the names and data of what was published of a conversation, in order."""
        rows = await self.pool.fetch(
            "SELECT name, sequence, data FROM outbox WHERE partition_key = $1 ORDER BY sequence", conversation_id
        )
        return [dict(row) for row in rows]


class ChatProcess(Replica):
    """One chat as a process, to be killed."""

    def __init__(self, child: ChildProcess, url: str, issuer: TestIssuer, pool: Pool) -> None:
        super().__init__(None, url, issuer, pool, MemoryBus())
        self.child = child


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an app on a free port; yields its URL."""
    socket = free_socket()
    server = make_server(app, ChatSettings.model_construct())
    task = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
        socket.close()


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "chat")


OpenReplica = Callable[..., contextlib.AbstractAsyncContextManager[Replica]]


@pytest.fixture(scope="session")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture(scope="session")
async def provider() -> "AsyncIterator[FakeProvider]":
    from fake_provider.process import FakeProvider

    async with FakeProvider() as found:
        yield found


@pytest.fixture(scope="session")
async def history(issuer: TestIssuer) -> AsyncIterator[StubHistory]:
    stub = StubHistory(jwks=issuer.jwks())
    async with serving(stub.app()) as url:
        stub.url = url
        yield stub


@pytest.fixture(scope="session")
async def new_database(backends: SharedBackends) -> Callable[[], Awaitable[str]]:
    async def make() -> str:
        return await backends.fresh_database(_migrate, "chat")

    return make


@pytest.fixture(scope="module")
async def valkey(backends: SharedBackends, tmp_path_factory: Any) -> AsyncIterator[EmbeddedValkey]:
    """Redis for one module, to be killed, frozen and emptied."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"), durable=False, tools=backends.tools)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
async def open_replica(
    backends: SharedBackends, issuer: TestIssuer, provider: "FakeProvider", history: StubHistory
) -> OpenReplica:
    """Open a chat on a database, its settings changed as a test likes."""

    @contextlib.asynccontextmanager
    async def opened(dsn: str, *, bus: MemoryBus | None = None, **changed: Any) -> AsyncIterator[Replica]:
        own_bus = bus or MemoryBus()
        options = {
            "admin_port": 0,
            "database_url": dsn,
            "redis_url": await backends.redis_url(),
            "auth_url": history.url,
            "history_url": history.url,
            "internal_client_secret": "secret",
            "openai_base_url": provider.base_url,
            "openai_api_key": "canary-provider-key",
            "openai_model": "fake",
            "model_provider": "openai",
            "model_context_window": 8192,
            "model_max_output_tokens": 1024,
            **changed,
        }
        settings = load(ChatSettings, **options)

        @contextlib.asynccontextmanager
        async def wired_for_tests(settings: ChatSettings, runtime: Runtime) -> AsyncIterator[ChatServices]:
            async with wire_for_tests(settings, runtime, bus=own_bus) as wired:
                yield dataclasses.replace(wired, verifier=issuer.verifier())

        app = create_app(settings, wire=wired_for_tests)
        async with app.router.lifespan_context(app), serving(app) as url, open_pool(dsn, size=4) as pool:
            replica = Replica(app, url, issuer, pool, own_bus)
            try:
                yield replica
            finally:
                await replica.client.aclose()

    return opened


@pytest.fixture(scope="module")
async def pair(
    open_replica: OpenReplica, new_database: Callable[[], Awaitable[str]], valkey: EmbeddedValkey
) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas on one database and a Redis that a test may break."""
    dsn = await new_database()
    async with open_replica(dsn, redis_url=valkey.url) as one, open_replica(dsn, redis_url=valkey.url) as two:
        yield one, two


@pytest.fixture(scope="session")
async def replica(
    open_replica: OpenReplica, new_database: Callable[[], Awaitable[str]], tmp_path_factory: Any
) -> AsyncIterator[Replica]:
    """One chat for all tests, without a limit of tokens a minute: each test has people of its own."""
    plans = tmp_path_factory.mktemp("plans") / "plans.yaml"
    plans.write_text("default: {tokens_per_minute: null}")
    async with open_replica(await new_database(), plans_file=plans) as found:
        yield found


@pytest.fixture(scope="session")
async def spawn(
    backends: SharedBackends, issuer: TestIssuer, provider: "FakeProvider", history: StubHistory, tmp_path_factory: Any
) -> Callable[..., contextlib.AbstractAsyncContextManager[ChatProcess]]:
    """Start a chat as a process of its own, its settings changed as a test likes."""

    @contextlib.asynccontextmanager
    async def spawned(dsn: str, pool: Pool, **changed: str) -> AsyncIterator[ChatProcess]:
        port = free_port()
        settings = {
            "PORT": str(port),
            "ADMIN_PORT": "0",
            "CHAT_DATABASE_URL": dsn,
            "REDIS_URL": await backends.redis_url(),
            "AUTH_URL": history.url,
            "HISTORY_URL": history.url,
            "JWKS_URL": f"{history.url}/.well-known/jwks.json",
            "INTERNAL_CLIENT_SECRET": "secret",
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_MODEL": "fake",
            "LEASE_LENGTH": str(LEASE_LENGTH),
            **changed,
        }
        script = str(Path(__file__).parent.parent / "support" / "chat_process.py")
        folder = tmp_path_factory.mktemp("chat")
        command = ServerCommand(
            name="chat", arguments=[sys.executable, script], folder=folder, environment=environment(**settings)
        )
        child = ChildProcess(command)
        await child.start()
        replica = ChatProcess(child, f"http://127.0.0.1:{port}", issuer, pool)
        try:
            await child.wait_until(lambda: answers(f"{replica.url}/ready"), 30)
            yield replica
        finally:
            await replica.client.aclose()
            await child.stop()

    return spawned
