"""Limits, token sessions, and decisions."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SECOND = 1_000_000
EXACT = 2**53
"""Integers up to this value are exact in Lua."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``count`` units every ``period`` seconds for one subject, and up to ``burst`` units at once.

    A ``strict`` limit allows a tenth of the burst while Redis is unavailable. Raises ValueError for numbers that cannot
    be counted exactly.
    """

    policy: str
    subject: str
    count: int
    period: int
    burst: int
    strict: bool = False
    key: str = field(init=False, repr=False)
    numbers: tuple[int, int, int] = field(init=False, repr=False)
    packed: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if min(self.count, self.period, self.burst) < 1 or self.period * SECOND * max(self.burst, self.count) > EXACT:
            raise ValueError(f"limit {self.policy}: cannot count {self.count}/{self.period} s with burst {self.burst}")
        object.__setattr__(self, "key", f"parley:limit:{self.policy}:{self.subject}")
        object.__setattr__(self, "numbers", (self.count, self.period * SECOND, self.burst))
        object.__setattr__(self, "packed", struct.pack("<ddd", *self.numbers))


@dataclass(frozen=True, slots=True)
class TokenSession:
    """Session and user of a token, for the revocation check; ``issued_at`` is in seconds since the epoch."""

    session_id: str
    user_id: str
    issued_at: int
    keys: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", (f"parley:revoked:{self.session_id}", f"parley:revoked-user:{self.user_id}"))


class LimitState(NamedTuple):
    """Remaining units of a limit, and seconds until all are available again."""

    remaining: int
    reset: float


@dataclass(slots=True)
class Decision:
    """The result of a check: allowed, session revoked, or refused by one limit for ``retry_after`` seconds.

    ``revoked`` is reliable only if ``revocations_known``: then Redis has every active revocation. ``at`` is the Redis
    time of the decision in microseconds, and None for a local decision.
    """

    allowed: bool
    revoked: bool
    refused: Limit | None
    retry_after: float
    limits: Sequence[Limit]
    states: Sequence[LimitState]
    revocations_known: bool
    at: int | None

    @property
    def exact(self) -> bool:
        """Whether Redis decided."""
        return self.at is not None

    def shown(self) -> tuple[Limit, LimitState] | None:
        """Return the limit to report to the client: the one that refused, else the one with the fewest units left."""
        if not self.limits:
            return None
        if len(self.limits) == 1:
            return self.limits[0], self.states[0]
        pairs = list(zip(self.limits, self.states, strict=True))
        if self.refused is not None:
            return next(pair for pair in pairs if pair[0] is self.refused)
        return min(pairs, key=lambda pair: pair[1].remaining)
