"""Rate limit decisions of two gateway processes, compared with a model."""

import asyncio
import contextlib
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway_testing.process import GatewayProcess, RunGatewayProcess
from parley.ids import new_id
from parley_testing.http.scripted_server import respond

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

PROGRAM = Path(__file__).parents[1] / "support" / "recording_gateway.py"
PROCESSES, CLIENTS, USERS, REQUESTS = 2, 100, 12, 10
PLANS = "default: {requests_per_minute: 20, window: 1, burst: 6, requests_per_day: 25}\n"
OFTEN = 100
"""Minimum number of admitted and of rejected requests for a meaningful comparison."""


def admissible(decisions: list[dict[str, Any]]) -> list[bool]:
    """Decide by the definition of GCRA. The arrival times of the limits move only when all limits admit the request."""
    arrivals: dict[str, Fraction] = {}
    answers = []
    for decision in decisions:
        now, limits = Fraction(decision["at"]), decision["limits"]
        after = {
            key: max(arrivals.get(key, now), now) + Fraction(period, units)
            for key, (units, period, _) in limits.items()
        }
        allowed = all(
            after[key] - now <= Fraction(burst * period, units) for key, (units, period, burst) in limits.items()
        )
        arrivals |= after if allowed else {}
        answers.append(allowed)
    return answers


async def test_decisions_of_two_processes_equal_the_model(run_process: RunGatewayProcess, tmp_path: Path) -> None:
    plans, decisions = tmp_path / "plans.yaml", tmp_path / "decisions"
    plans.write_text(PLANS)
    command = (sys.executable, str(PROGRAM), str(decisions))
    async with contextlib.AsyncExitStack() as stack:
        starting = [run_process(respond(), command, PLANS_FILE=plans) for _ in range(PROCESSES)]
        gateways = await asyncio.gather(*map(stack.enter_async_context, starting))
        users = [new_id() for _ in range(USERS)]
        clients = [_ask(gateways[number % PROCESSES], users[number % USERS]) for number in range(CLIENTS)]
        statuses = await asyncio.gather(*clients)
    answered = [status for some in statuses for status in some]
    made = [orjson.loads(line) for line in decisions.read_bytes().splitlines()]
    made = sorted((each for each in made if "parley:limit:user-day:" in "".join(each["limits"])), key=_time)
    assert len({each["process"] for each in made}) == PROCESSES
    assert sorted(200 if each["allowed"] else 429 for each in made) == sorted(answered)
    assert min(answered.count(200), answered.count(429)) > OFTEN
    assert [each["allowed"] for each in made] == admissible(made)


def _time(decision: dict[str, Any]) -> int:
    return int(decision["at"])


async def _ask(found: GatewayProcess, user: UUID) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
    request = f"GET /api/v1/models HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {found.issuer.token(user)}\r\n\r\n"
    statuses = []
    for number in range(REQUESTS):
        writer.write(request.encode())
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
        statuses.append(int(head.split()[1]))
        if b"connection: close" in head.lower():  # a refusal
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        await asyncio.sleep(0.05 * (number % 4))
    writer.close()
    return statuses
