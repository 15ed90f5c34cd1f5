"""Redis script that decides many limit checks in one call: request and reply format."""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources

from parley.ratelimit.model import SECOND, Decision, Limit, LimitState, TokenSession
from parley.storage.redis_internals import RawConnection
from parley.storage.redis_script import LuaScript

REVOCATIONS_MARKER = "parley:revocations"
"""Key that exists while Redis has every active revocation."""
_COUNT, _HEAD = struct.Struct("<d"), struct.Struct("<dddd")


@dataclass(slots=True)
class LimitCheck:
    """One check: ``cost`` units of every limit, and whether a session is revoked; ``answer`` is the result."""

    limits: Sequence[Limit]
    cost: int
    session: TokenSession | None
    forced: bool
    answer: "asyncio.Future[Decision]" = field(init=False)

    def resolve(self, decision: Decision) -> None:
        """Set the result, unless the caller has been cancelled."""
        if not self.answer.done():
            self.answer.set_result(decision)


class LimitScript:
    """``limits.lua`` in one Redis."""

    def __init__(self, connection: RawConnection) -> None:
        self._script = LuaScript(
            connection.execute, resources.files("parley.ratelimit").joinpath("limits.lua").read_text()
        )

    async def run(self, batch: Sequence[LimitCheck]) -> list[int]:
        """Return the reply of the script for a batch; raise what the connection raises."""
        keys, numbers = _request(batch)
        reply: list[int] = await self._script.run(keys, numbers)
        return reply


def parse_reply(batch: Sequence[LimitCheck], reply: list[int]) -> Iterator[tuple[LimitCheck, Decision]]:
    """Yield the decision of each check of a batch."""
    known, at, position = bool(reply[0]), reply[1], 2
    for check in batch:
        end = position + 2 + 2 * len(check.limits)
        yield check, _decision(check, reply[position:end], known=known, at=at)
        position = end


def _request(batch: Sequence[LimitCheck]) -> tuple[list[str], bytes]:
    keys, numbers = [REVOCATIONS_MARKER], [_COUNT.pack(len(batch))]
    for check in batch:
        session = check.session
        numbers.append(_HEAD.pack(len(check.limits), check.cost, session.issued_at if session else -1, check.forced))
        if session:
            keys += session.keys
        for limit in check.limits:
            keys.append(limit.key)
            numbers.append(limit.packed)
    return keys, b"".join(numbers)


def _decision(check: LimitCheck, row: list[int], *, known: bool, at: int) -> Decision:
    outcome = row[0]
    return Decision(
        allowed=outcome == 0,
        revoked=outcome < 0,
        refused=check.limits[outcome - 1] if outcome > 0 else None,
        retry_after=row[1] / SECOND,
        limits=check.limits,
        states=[LimitState(row[i], row[i + 1] / SECOND) for i in range(2, len(row), 2)],
        revocations_known=known,
        at=at,
    )
