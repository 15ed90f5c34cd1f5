"""In-memory doubles of chat's smaller stores."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from chat.events.maintenance_store import UnconfirmedTurn
from chat.events.verification import AcceptedTurn
from parley.errors import DependencyUnavailable
from parley.ratelimit.model import Decision, Limit, LimitState


@dataclass
class InMemoryResponseIndex:
    """A ResponseIndex; both methods raise DependencyUnavailable while ``unavailable``."""

    turn_ids: dict[bytes, UUID] = field(default_factory=dict)
    unavailable: bool = False

    async def find(self, digest: bytes) -> UUID | None:
        if self.unavailable:
            raise DependencyUnavailable
        return self.turn_ids.get(digest)

    async def save(self, digest: bytes, turn_id: UUID) -> None:
        if self.unavailable:
            raise DependencyUnavailable
        self.turn_ids[digest] = turn_id


@dataclass
class InMemoryTurnErasureStore:
    """An TurnErasureStore that records its calls and returns the running turns that the test sets."""

    running: dict[UUID, int] = field(default_factory=dict)
    """Epochs of the running turns."""
    deleted: list[UUID] = field(default_factory=list)
    blanked: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)
    """Users whose turns were ended, once for each call."""
    erased: list[tuple[UUID, str]] = field(default_factory=list)
    cancelled: list[UUID] = field(default_factory=list)
    all_blanked: int = 0
    """How often all deleted conversations were blanked."""
    compared_until: datetime | None = None

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        self.deleted.append(conversation_id)
        return list(self.running)

    async def blank_conversation(self, conversation_id: UUID) -> None:
        self.blanked.append(conversation_id)

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        self.cancelled.append(user_id)
        return list(self.running)

    async def end_turns(self, user_id: UUID) -> list[tuple[UUID, int]]:
        self.ended.append(user_id)
        ended, self.running = list(self.running.items()), {}
        return ended

    async def erase(self, user_id: UUID, erasure_id: str) -> None:
        assert not self.running
        self.erased.append((user_id, erasure_id))

    async def not_deleted(self, conversation_ids: Collection[UUID]) -> set[UUID]:
        return set(conversation_ids) - set(self.deleted)

    async def deletions_compared_until(self) -> datetime | None:
        return self.compared_until

    async def record_comparison(self, until: datetime) -> None:
        self.compared_until = until

    async def blank_deleted_conversations(self) -> None:
        self.all_blanked += 1


@dataclass
class InMemoryMaintenanceStore:
    """A MaintenanceStore over the turns that the test sets; ``purge`` returns the numbers in ``purges``."""

    turns: list[UnconfirmedTurn] = field(default_factory=list)
    republished: list[UUID] = field(default_factory=list)
    purges: list[int] = field(default_factory=list)
    purge_calls: int = 0
    unavailable: bool = False
    claimed: set[str] = field(default_factory=set)

    async def claim_run(self, name: str, interval: float) -> bool:
        found = name not in self.claimed
        self.claimed.add(name)
        return found

    async def unconfirmed(
        self, after: UnconfirmedTurn | None, *, older_than: float, limit: int
    ) -> list[UnconfirmedTurn]:
        if self.unavailable:
            raise DependencyUnavailable
        pending = sorted(self.turns, key=lambda turn: (turn.finished_at, turn.turn_id))
        seen = (after.finished_at, after.turn_id) if after else None
        return [turn for turn in pending if seen is None or (turn.finished_at, turn.turn_id) > seen][:limit]

    async def confirm(self, turn_ids: Collection[UUID]) -> None:
        self.turns = [turn for turn in self.turns if turn.turn_id not in turn_ids]

    async def republish(self, turn_ids: Collection[UUID], *, older_than: float) -> int:
        self.republished += sorted(turn_ids)
        return len(turn_ids)

    async def purge(self, *, turns: float, events: float) -> int:
        self.purge_calls += 1
        return self.purges.pop(0) if self.purges else 0


class InMemoryVerificationSource:
    """A VerificationSource over the turns that the test sets."""

    def __init__(self, *turns: AcceptedTurn, with_two_ends: Sequence[UUID] = (), overdue: Sequence[UUID] = ()) -> None:
        self.turns = sorted(turns, key=lambda turn: turn.turn_id)
        self.with_two_ends, self.overdue = list(with_two_ends), list(overdue)
        self.republished: list[UUID] = []

    async def accepted(self, after: UUID | None, *, older_than: float, limit: int) -> list[AcceptedTurn]:
        return [turn for turn in self.turns if after is None or turn.turn_id > after][:limit]

    async def overdue_turns(self, *, overdue: float) -> list[UUID]:
        return self.overdue

    async def turns_with_two_ends(self) -> list[UUID]:
        return self.with_two_ends

    async def republish(self, turn_ids: list[UUID]) -> int:
        self.republished += turn_ids
        return len(turn_ids)


@dataclass
class InMemoryRateLimiter:
    """A RateLimiter that counts the units taken, and refuses while ``retry_after`` is set."""

    taken: list[int] = field(default_factory=list)
    retry_after: float | None = None
    left: int | None = None
    """What is left of each limit; None for all of it."""

    async def check(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        if self.retry_after is not None:
            return _decision(limits, self.retry_after, self.left)
        self.taken.append(cost)
        return _decision(limits)

    async def charge(self, limits: Sequence[Limit], cost: int) -> Decision:
        self.taken.append(cost)
        return _decision(limits)


def _decision(limits: Sequence[Limit], retry_after: float | None = None, left: int | None = None) -> Decision:
    return Decision(
        allowed=retry_after is None,
        revoked=False,
        refused=None if retry_after is None else limits[0],
        retry_after=retry_after or 0.0,
        limits=limits,
        states=[LimitState(limit.burst if left is None else left, 0.0) for limit in limits],
        revocations_known=True,
        at=0,
    )
