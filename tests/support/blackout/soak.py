"""Program of ``make soak``: random faults under load, one after the other; memory, descriptors and tasks stay flat."""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from blackout.cells import KINDS, UPSTREAM, Cell, Fault, Victim
from blackout.faults import broken
from blackout.laboratory import enter_laboratory, rig_folder
from blackout.measure import lost_turns, recover
from blackout.results import forbidden
from blackout.rig import SOAK, Rig, open_rig
from blackout.samples import Sampler
from blackout.traffic import Answer, SoakStreams, Traffic

CALM_SECONDS = 20.0
"""Seconds of load without a fault, before the first and after the last."""
MIN_SECONDS, MAX_SECONDS = 4.0, 10.0
"""Shortest and longest fault."""
FAULTS: list[tuple[Victim, Fault]] = [
    *((victim, fault) for victim in ("chat", "history", "gateway") for fault in ("stopped", "paused")),
    *((victim, "paused") for victim in ("auth", "worker", "webhooks")),
    *((victim, "stopped") for victim in ("postgres", "rabbitmq")),
    *((victim, "paused") for victim in ("postgres", "rabbitmq", "provider")),
    *((victim, fault) for victim in ("postgres", "rabbitmq", "provider") for fault in ("vanished", "slow 200 ms")),
    ("redis", "failed over"),
]
"""Killed are only first replicas, so that one process of each kind lives to the end."""


def main() -> int:
    """Run the soak; return 1 if something is lost or grows."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--logs", type=Path, help="keep the logs of all processes in this folder")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    enter_laboratory("blackout.soak")
    print(f"seed {options.seed}", flush=True)
    problems = asyncio.run(run(options.minutes * 60, random.Random(options.seed), options.logs))
    print("\n".join(problems) or "nothing lost, nothing grows")
    return 1 if problems else 0


async def run(seconds: float, choose: random.Random, logs: Path | None) -> list[str]:
    """Break one thing after the other for some seconds; return what must not be."""
    with rig_folder(logs and logs / SOAK) as folder:
        async with open_rig(folder, SOAK) as rig:
            traffic, streams, sampler = Traffic(rig.users), SoakStreams(rig.users, rig.gateways), Sampler(rig.stack)
            async with traffic.flowing(), streams.flowing():
                await asyncio.sleep(CALM_SECONDS)
                async with sampler.sampling():
                    count = await _break_things(rig, seconds, choose)
                    await asyncio.sleep(CALM_SECONDS)
                    await sampler.sample()
            for user in rig.users:
                await user.renew()
            # The readers of the first streams have tokens that are expired now.
            current = {user.username: user for user in rig.users}
            turns = [replace(turn, user=current[turn.user.username]) for turn in [*traffic.turns, *streams.turns]]
            allowed = Cell("chat", "stopped", dict.fromkeys(KINDS, UPSTREAM))
            print(f"{count} faults; {len(traffic.answers)} requests; {len(turns)} turns accepted")
            print(f"refused: {_refusals(traffic.answers)}")
            print(sampler.report(), flush=True)
            return [*forbidden(allowed, traffic.answers), *sampler.problems(), *await lost_turns(rig, turns)]


async def _break_things(rig: Rig, seconds: float, choose: random.Random) -> int:
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for user in rig.users:
            await user.renew()
        victim, fault = choose.choice(FAULTS)
        cell, duration = Cell(victim, fault, {}), choose.uniform(MIN_SECONDS, MAX_SECONDS)
        async with broken(rig, cell):
            await asyncio.sleep(duration)
        ended = time.monotonic()
        await _repair(rig)
        await recover(rig, cell)
        count += 1
        print(f"{cell.name} for {duration:.0f} s: works again after {time.monotonic() - ended:.1f} s", flush=True)
    return count


def _refusals(answers: Iterable[Answer]) -> str:
    found = Counter(f"{answer.kind} {answer.status} {answer.code}" for answer in answers if not answer.succeeded)
    return ", ".join(f"{count} x {refusal}" for refusal, count in found.most_common()) or "none"


async def _repair(rig: Rig) -> None:
    """Start what a failover left dead; it becomes a replica."""
    if rig.sentinels:
        for server in rig.sentinels.servers:
            await server.start()


if __name__ == "__main__":
    sys.exit(main())
