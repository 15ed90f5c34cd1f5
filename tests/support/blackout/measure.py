"""One cell: break something under load, watch what users get, and check that nothing is lost."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2

from blackout.alerts import Recording, fired, metric_names, rule_groups
from blackout.cells import DEPENDENCIES, KINDS, LONG, Cell, Fault
from blackout.expected_alerts import wrong_alerts
from blackout.faults import broken
from blackout.replica_hosts import replicas_of
from blackout.results import CellResult, forbidden, summarize
from blackout.rig import Rig
from blackout.samples import MIB
from blackout.traffic import Streams, Traffic
from parley_testing.deployment.promtool import Promtool
from parley_testing.faults.processes import resident_bytes
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.waiting import eventually
from parley_testing.workload.turns import AnsweredTurn, stored_exactly_once

BASELINE_SECONDS = 3.0
RECOVERY_TIMEOUT, MAX_RECOVERY = 120.0, 15.0
"""Seconds to wait until everything works, and those within which it must."""
SETTLE_TIMEOUT = 120.0
SAMPLE_INTERVAL = 0.5
STATUS_TIMEOUT = 10.0
POLL_INTERVAL = 0.2
MAX_GROWTH = 64
"""MiB by which a process may grow."""
STATUS_NAMES = {"redis": "redis", "postgres": "postgres", "rabbitmq": "bus"}
"""Names of dependencies in ``/status``."""
NOTICED: tuple[Fault, ...] = ("stopped", "paused", "vanished", LONG, "wrong password")
"""Faults that ``/status`` must show."""


async def run_cell(rig: Rig, cell: Cell, promtool: Promtool | None = None) -> CellResult:
    """Run one cell and return its figures and, in ``problems``, what is wrong with them.

    Without ``promtool`` the alerts are not judged.
    """
    for user in rig.users:
        await user.renew()
    result = CellResult(cell.name, cell.seconds)
    traffic, streams = Traffic(rig.users), await Streams.open(rig.users, rig.gateways, cell)
    watch, recording = Watch(rig, cell), Recording(rig.stack.everything, metric_names(rule_groups()))
    try:
        async with recording.running(), traffic.flowing():
            await asyncio.sleep(BASELINE_SECONDS)
            breaking = time.monotonic()
            async with broken(rig, cell), watch.watching() as began:
                await asyncio.sleep(cell.seconds)
            ended = time.monotonic()
            try:
                recovered = await recover(rig, cell)
            except AssertionError as error:  # the next cells are run all the same
                recovered = time.monotonic()
                result.problems.append(f"did not work again within {RECOVERY_TIMEOUT:g} s: {error}")
        turns = [*await streams.end(), *traffic.turns]
    finally:
        streams.cancel()
    during = traffic.between(breaking, recovered)
    result.kinds = {kind: summarize(kind, during, began) for kind in KINDS}
    result.streams = dict(Counter(reader.status for reader in streams.readers))
    result.resumed, result.turns = streams.broken, len(turns)
    result.noticed, result.growth = watch.noticed, watch.growth
    result.recovered = recovered - (ended if cell.seconds else began)
    if promtool:
        result.alerts = await asyncio.to_thread(fired, recording, cell.seconds, promtool)
        result.problems += wrong_alerts(cell, result.alerts)
    result.problems += [
        *(f"before: {line}" for line in forbidden(Cell(cell.victim, cell.fault, {}), traffic.before(breaking))),
        *forbidden(cell, during),
        *_judge(cell, result),
        *await lost_turns(rig, turns),
    ]
    return result


def _judge(cell: Cell, result: CellResult) -> list[str]:
    problems = []
    if unexpected := set(result.streams) - {"completed"} - cell.cut_short:
        problems.append(f"streams ended {', '.join(sorted(unexpected))}")
    if result.recovered > MAX_RECOVERY:
        problems.append(f"worked again only after {result.recovered:.1f} s")
    if result.growth > MAX_GROWTH:
        problems.append(f"a process grew by {result.growth} MiB")
    if cell.victim in STATUS_NAMES and cell.fault in NOTICED and result.noticed is None:
        problems.append("/status never called it down")
    return problems


async def lost_turns(rig: Rig, turns: list[AnsweredTurn]) -> list[str]:
    """Return what history lacks or has twice, and what ``parley verify`` finds."""
    try:
        await stored_exactly_once(turns, within=SETTLE_TIMEOUT)
    except AssertionError as error:
        return [f"lost: {error}"]
    output = ""

    async def verified() -> bool:
        nonlocal output
        _, output = await run_parley("verify", settings=rig.stack.settings_of("chat"))
        return ", 0 wrong, 0 waiting" in output

    try:
        await eventually(verified, within=SETTLE_TIMEOUT)
    except AssertionError:
        return [f"parley verify: {output}"]
    return []


class Watch:
    """Observes the processes during a fault."""

    def __init__(self, rig: Rig, cell: Cell) -> None:
        self._rig, self._cell = rig, cell
        victim = None if cell.victim in DEPENDENCIES else replicas_of(rig.stack)[cell.victim]
        self._processes = [process for process in rig.stack.everything if process is not victim]
        self.noticed: float | None = None
        self.growth = 0

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[float]:
        """Sample until the context is left; yield its beginning."""
        began = time.monotonic()
        before = self._memory()
        tasks = [asyncio.create_task(self._sample(before))]
        if name := STATUS_NAMES.get(self._cell.victim):
            tasks.append(asyncio.create_task(self._notice(name, began)))
        try:
            yield began
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert all(process.child.running for process in self._processes), "a process ended"

    async def _sample(self, before: dict[str, int]) -> None:
        while True:
            now = self._memory()
            self.growth = max(self.growth, *((now[name] - before[name]) // MIB for name in before))
            await asyncio.sleep(SAMPLE_INTERVAL)

    def _memory(self) -> dict[str, int]:
        return {process.name: resident_bytes(process.child.pid) for process in self._processes}

    async def _notice(self, name: str, began: float) -> None:
        while await _dependency(self._rig.stack.chat[0], name) != "down":
            await asyncio.sleep(POLL_INTERVAL)
        self.noticed = time.monotonic() - began


async def _dependency(process: ServiceProcess, name: str) -> str:
    """Return the status of a dependency, or an empty text without an answer in time, or from a service that starts."""
    try:
        async with asyncio.timeout(STATUS_TIMEOUT):
            return await process.dependency(name)
    except (TimeoutError, OSError, httpx2.HTTPError, KeyError):
        return ""


async def recover(rig: Rig, cell: Cell) -> float:
    """Wait until every process reaches the dependency and each kind of request succeeds; return the time."""
    if name := STATUS_NAMES.get(cell.victim):
        processes = [
            process for process in rig.stack.everything if cell.victim == "redis" or process not in rig.stack.gateways
        ]

        def up(process: ServiceProcess) -> Callable[[], Awaitable[bool]]:
            async def probe() -> bool:
                return await _dependency(process, name) == "up"

            return probe

        await asyncio.gather(
            *(eventually(up(process), within=RECOVERY_TIMEOUT, message=process.name) for process in processes)
        )
    await eventually(lambda: _everything_works(rig), within=RECOVERY_TIMEOUT, message="requests fail")
    return time.monotonic()


async def _everything_works(rig: Rig) -> bool:
    traffic = Traffic(rig.users)
    await asyncio.gather(*(traffic.send(kind, rig.users[0]) for kind in KINDS))
    return all(answer.succeeded for answer in traffic.answers)
