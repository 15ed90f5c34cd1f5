"""The Postgres primary dies under running turns, and its streaming standby is promoted."""

import asyncio
import time
from pathlib import Path

import pytest

from chat_testing.replica import ChatReplica, OpenReplica, own_postgres
from parley_testing import eventually
from parley_testing.backends.postgres_standby import promote, standby_of, url_of_writer
from parley_testing.faults import processes

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

TURNS = 50
TOKENS = 60
WHOLE = " ".join(f"t{i}" for i in range(1, TOKENS + 1))
PROMPT = f"Hi [[fake tokens={TOKENS} rate=10]]"
RECOVERY_TIMEOUT = 5.0
"""Seconds after the promotion in which a new turn succeeds."""
SETUP_TIMEOUT = 60.0


async def answers(replica: ChatReplica) -> bool:
    response = await replica.user().chat("Hi [[fake tokens=1]]")
    assert response.status_code in {200, 503}, response.text
    assert response.status_code == 200 or response.headers["retry-after"]
    return response.status_code == 200


async def test_no_turn_is_lost_when_a_standby_is_promoted(tmp_path: Path, open_replica: OpenReplica) -> None:
    async with (
        own_postgres(tmp_path) as primary,
        standby_of(primary, tmp_path) as standby,
        open_replica(
            url_of_writer(primary.databases.url("chat"), primary, standby), finish_pending_after=120
        ) as replica,
    ):
        user = replica.user()
        turns = [asyncio.create_task(user.chat(PROMPT)) for _ in range(TURNS)]
        await eventually(lambda: _all_admitted(replica), within=SETUP_TIMEOUT)
        await processes.kill(primary.child, port=primary.port)
        await eventually(lambda: _refuses(replica), within=SETUP_TIMEOUT)
        await promote(standby)
        promoted_at = time.monotonic()
        await eventually(lambda: answers(replica), within=SETUP_TIMEOUT)
        recovery = time.monotonic() - promoted_at
        responses = await asyncio.gather(*turns)
        found = [(response.status_code, response.json().get("message")) for response in responses]
        assert found == [(200, WHOLE)] * TURNS
        assert recovery <= RECOVERY_TIMEOUT, f"service back {recovery:.1f} s after the promotion"


async def _all_admitted(replica: ChatReplica) -> bool:
    return bool(await replica.pool.fetchval("SELECT count(*) FROM turns") == TURNS)


async def _refuses(replica: ChatReplica) -> bool:
    return not await answers(replica)
