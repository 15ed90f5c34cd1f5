"""A rolling upgrade under load, as the manifests do it: no request fails, and no token and no event is lost.

`make rolling-test`. Two replicas of each service run as processes, behind balancers that stand for the Services of
Kubernetes. Each process is replaced in turn: a new one starts and becomes ready, the old one gets no new connections,
its preStop hook sleeps, then it gets SIGTERM and must end with status 0 within its grace period.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from fake_provider.process import FakeProvider
from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.http.client import Account, open_account
from parley_testing.stacks.balancer import ConnectionBalancer, open_balancer
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.event_recorder import record_events

if TYPE_CHECKING:
    import openai

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

STREAMS = int(os.environ.get("ROLLING_STREAMS", "100"))
RATE = float(os.environ.get("ROLLING_RATE", "50"))
"""Requests a second beside the streams: a fifth are turns, the others list the models."""
FROM = Path(found) if (found := os.environ.get("ROLLING_FROM")) else None
"""Folder of the commands of an earlier version, such as `.venv/bin` of another clone, from which all are upgraded."""
ACCOUNTS = 8
PRE_STOP = 5.0
"""Seconds of the preStop hook, as in `deploy/k8s/base/patches/workload.yaml`."""
GRACE = 60.0
"""Seconds from SIGTERM to the exit: the shortest grace period of the manifests."""
WARM_UP = 3.0
TOKENS = 40
STREAM = f"stream [[fake tokens={TOKENS} rate=10]]"
SHORT, WHOLE = "short [[fake tokens=2]]", " ".join(f"t{number}" for number in range(1, TOKENS + 1))
STORED_TIMEOUT = 60.0


@dataclass
class SdkLoad:
    """Streams and requests of the official SDK without retries, and what went wrong."""

    clients: list[openai.AsyncOpenAI]
    turns: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    step: str = "auth, worker and history"
    """What is replaced now."""
    requests: int = 0
    streams: int = 0
    tokens: int = 0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the load up while the context is open, then wait until every stream has ended."""
        clients = itertools.cycle(self.clients)
        async with asyncio.TaskGroup() as group:
            for _ in range(STREAMS):
                group.create_task(self._repeat(self._stream, next(clients)))
            group.create_task(self._request(clients, group))
            try:
                yield
            finally:
                self._ending.set()

    async def _repeat(self, act: Callable[[openai.AsyncOpenAI], Awaitable[None]], client: openai.AsyncOpenAI) -> None:
        while not self._ending.is_set():
            await self._try(act, client)

    async def _request(self, clients: itertools.cycle[openai.AsyncOpenAI], group: asyncio.TaskGroup) -> None:
        for number in itertools.count():
            if self._ending.is_set():
                return
            act = self._turn if number % 5 == 0 else self._models
            group.create_task(self._try(act, next(clients)))
            await asyncio.sleep(1 / RATE)

    async def _try(self, act: Callable[[openai.AsyncOpenAI], Awaitable[None]], client: openai.AsyncOpenAI) -> None:
        try:
            await act(client)
        except Exception as error:  # noqa: BLE001 - each failure is counted
            self.failures.append(f"{self.step}: {act.__name__}: {type(error).__name__}: {error}"[:300])
            await asyncio.sleep(0.2)

    async def _stream(self, client: openai.AsyncOpenAI) -> None:
        parts = []
        async with await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": STREAM}], stream=True
        ) as stream:
            async for chunk in stream:
                turn = chunk.id
                parts += [choice.delta.content or "" for choice in chunk.choices]
        self.streams += 1
        self.tokens += len("".join(parts).split())
        self.turns.append(turn)
        if "".join(parts).strip() != WHOLE:
            self.failures.append(f"stream: {len(''.join(parts).split())} of {TOKENS} tokens")

    async def _turn(self, client: openai.AsyncOpenAI) -> None:
        done = await client.chat.completions.create(model="default", messages=[{"role": "user", "content": SHORT}])
        self.requests += 1
        self.turns.append(done.id)

    async def _models(self, client: openai.AsyncOpenAI) -> None:
        await client.models.list()
        self.requests += 1


@dataclass
class Rollout:
    """Replaces processes in turn, as a Deployment with `maxSurge: 1` and `maxUnavailable: 0` does."""

    balancers: dict[str, ConnectionBalancer]

    async def replace(self, old: ServiceProcess, new: ServiceProcess, service: str) -> None:
        """Replace one process by one of this version."""
        new.programs = None
        await new.start()  # returns when the readiness probe succeeds
        if balancer := self.balancers.get(service):
            balancer.replace(old.port, new.port)
        await asyncio.sleep(PRE_STOP)
        old.child.send(signal.SIGTERM)
        await eventually(lambda: not old.child.running, within=GRACE, message=f"{old.name} does not end")
        assert old.child.exit_status == 0, f"{old.name} ended with {old.child.exit_status}"

    async def roll(self, replicas: list[ServiceProcess], spare: ServiceProcess, service: str) -> None:
        """Replace every replica; the address that each leaves is that of the next one."""
        for old in list(replicas):
            await self.replace(old, spare, service)
            spare = old


@pytest.fixture
async def auth_balancer() -> AsyncIterator[ConnectionBalancer]:
    async with open_balancer() as found:
        yield found


@pytest.fixture
async def stack(
    provider: FakeProvider,
    own_backends: PrivateBackends,
    high_limits: dict[str, str],
    auth_balancer: ConnectionBalancer,
    tmp_path: Path,
) -> AsyncIterator[SeparateStack]:
    """Three processes of each service, of which the third is stopped: its address is that of a new pod."""
    settings = high_limits | {"DRAIN_TIMEOUT": "30", "LOG_LEVEL": "info", "STREAMS_PER_USER": "1000"}
    made = SeparateStack(
        tmp_path, own_backends.urls, provider.base_url, replicas=3, settings=settings,
        auth_url=auth_balancer.url, programs=FROM,
    )  # fmt: skip
    starting = asyncio.create_task(made.start())
    try:
        # The services that start after auth need it behind its balancer.
        await eventually(lambda: bool(made.auth), within=STORED_TIMEOUT)
        auth_balancer.endpoints = [made.auth[0].port]
        await starting
        await asyncio.gather(*(group[2].stop() for group in (made.gateways, made.chat, made.history)))
        yield made
    finally:
        starting.cancel()
        await made.stop()


async def test_a_rolling_upgrade_fails_no_request_and_loses_no_token_and_no_event(
    stack: SeparateStack, auth_balancer: ConnectionBalancer, own_backends: PrivateBackends
) -> None:
    async with contextlib.AsyncExitStack() as opened:
        gateways = await opened.enter_async_context(open_balancer())
        gateways.endpoints = [gateway.port for gateway in stack.gateways[:2]]
        second_auth, next_auth = (stack.auth[0].twin(name) for name in ("auth-1", "auth-2"))
        second_worker, next_worker = (stack.workers[0].twin(name) for name in ("worker-1", "worker-2"))
        opened.push_async_callback(stop_all, [second_auth, next_auth, second_worker, next_worker])
        await asyncio.gather(second_auth.start(), second_worker.start())
        auth_balancer.endpoints.append(second_auth.port)
        recorder = await opened.enter_async_context(record_events(own_backends.rabbitmq.url))
        accounts = [await open_account(gateways.url) for _ in range(ACCOUNTS)]
        load = SdkLoad([await opened.enter_async_context(open_client(account)) for account in accounts])
        rollout = Rollout({"gateway": gateways, "auth": auth_balancer})

        async with load.running():
            await asyncio.sleep(WARM_UP)
            # Deployments roll at the same time; in two steps because each start takes seconds of CPU time.
            await asyncio.gather(
                rollout.roll([stack.auth[0], second_auth], next_auth, "auth"),
                rollout.roll([stack.workers[0], second_worker], next_worker, "worker"),
                rollout.roll(stack.history[:2], stack.history[2], "history"),
            )
            load.step = "chat and gateway"
            await asyncio.gather(
                rollout.roll(stack.chat[:2], stack.chat[2], "chat"),
                rollout.roll(stack.gateways[:2], stack.gateways[2], "gateway"),
            )
            await asyncio.sleep(WARM_UP)

        print(
            f"\nrolling upgrade: 10 processes replaced under {STREAMS} streams and {RATE:g} req/s; "
            f"{load.streams} streams with {load.tokens} tokens, {load.requests} requests, {len(load.failures)} failed"
        )
        for failure, count in Counter(load.failures).most_common():
            print(f"{count} times: {failure}")
        assert load.failures == []
        assert load.tokens == load.streams * TOKENS
        await recorder.expect([str(UUID(turn.removeprefix("chatcmpl-"))) for turn in load.turns], within=STORED_TIMEOUT)
        print(f"{len(load.turns)} turns: each ended once, events in order, {recorder.duplicates} repeated deliveries")
        print(await verify(stack))


@contextlib.asynccontextmanager
async def open_client(account: Account) -> AsyncIterator[openai.AsyncOpenAI]:
    """Open the official client without retries."""
    import openai

    async with openai.AsyncOpenAI(
        base_url=f"{account.url}/v1", api_key=account.key, max_retries=0, timeout=60
    ) as client:
        yield client


async def stop_all(replicas: list[ServiceProcess]) -> None:
    await asyncio.gather(*(replica.stop() for replica in replicas))


async def verify(stack: SeparateStack) -> str:
    """Wait until `parley verify` finds no difference; return its last line."""
    output = ""

    async def agrees() -> bool:
        nonlocal output
        status, output = await run_parley("verify", "--settle", "0", settings=stack.settings_of("chat"))
        return status == 0

    await eventually(agrees, within=STORED_TIMEOUT, message="parley verify finds differences")
    return output.strip().splitlines()[-1]
