"""What a limit is, whom it concerns, and what was decided."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SECOND = 1_000_000
EXACT = 2**53
"""Whole numbers up to here are exact in Lua."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``count`` units each ``period`` seconds for one subject, with ``burst`` units at once.

    ``strict`` limits admit no burst while Redis is away. Raises ValueError for numbers that cannot be counted exactly.
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
    """The session of a token, to be looked up among the revoked; ``issued_at`` in seconds since the epoch."""

    session_id: str
    user_id: str
    issued_at: int
    keys: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", (f"parley:revoked:{self.session_id}", f"parley:revoked-user:{self.user_id}"))


class LimitState(NamedTuple):
    """Where a limit stands: units left, and seconds until all are back."""

    remaining: int
    reset: float


@dataclass(slots=True)
class Decision:
    """The answer to a check: allowed, revoked, or refused by one limit for ``retry_after`` seconds.

    ``revocations_known`` says that Redis holds every live revocation, so that ``revoked`` can be relied on. ``at`` is
    the Redis time of the decision in microseconds, None when this replica decided alone.
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
        """Return the limit that clients should hear about: the one that refused, else the one with least left."""
        if not self.limits:
            return None
        if len(self.limits) == 1:
            return self.limits[0], self.states[0]
        pairs = list(zip(self.limits, self.states, strict=True))
        if self.refused is not None:
            return next(pair for pair in pairs if pair[0] is self.refused)
        return min(pairs, key=lambda pair: pair[1].remaining)
