"""Comparing what was accepted (chat) with what is stored (history) and published, on a running system."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from chat.history import History, StoredTurn

FindingKind = Literal["missing", "altered", "double", "unpublished", "unfinished"]
PAGE = 1000
OVERDUE = 60.0
"""Seconds after its deadline by which recovery must have ended a turn."""
NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class AcceptedTurn:
    """A turn that ended, as chat knows it; ``sha256`` is of its answer's text."""

    turn_id: UUID
    status: str
    sha256: str
    confirmed: bool
    has_event: bool
    sent: bool


@dataclass(frozen=True, slots=True)
class TurnFinding:
    """Something that does not agree."""

    turn_id: UUID
    kind: FindingKind


@dataclass(slots=True)
class VerificationReport:
    """How many turns were compared, what is wrong, what still waits in the outbox, and what was sent again."""

    compared: int = 0
    waiting: int = 0
    repaired: int = 0
    findings: list[TurnFinding] = field(default_factory=list)

    def of(self, *kinds: FindingKind) -> list[UUID]:
        """Return the turns of some kinds of finding."""
        return [finding.turn_id for finding in self.findings if finding.kind in kinds]


class VerificationSource(Protocol):
    """What chat's database says."""

    async def accepted(self, after: UUID | None, *, older_than: float, limit: int) -> list[AcceptedTurn]:
        """Return a page of turns that ended more than some seconds ago."""
        ...

    async def overdue_turns(self, *, overdue: float) -> list[UUID]:
        """Return turns that run longer than they may."""
        ...

    async def turns_with_two_ends(self) -> list[UUID]:
        """Return turns with more than one terminal event."""
        ...

    async def republish(self, turn_ids: list[UUID]) -> int:
        """Publish the events of turns again; returns how many."""
        ...


async def verify(
    evidence: VerificationSource, history: History, *, settle: float, repair: bool = False
) -> VerificationReport:
    """Compare every turn that ended more than ``settle`` seconds ago; with ``repair`` publish again what is wrong.

    History stores a republished turn as it was accepted, so missing and altered ones are mended; a second terminal
    event cannot be taken back, subscribers skip it by the turn's id.
    """
    report = VerificationReport()
    async for page in _pages(evidence, settle):
        await _compare(page, history, report)
    report.findings += _all("unfinished", await evidence.overdue_turns(overdue=OVERDUE))
    report.findings += _all("double", await evidence.turns_with_two_ends())
    wrong = report.of("missing", "altered")
    if repair and wrong:
        report.repaired = await evidence.republish(wrong)
    return report


async def _pages(evidence: VerificationSource, settle: float) -> AsyncIterator[list[AcceptedTurn]]:
    last: UUID | None = None
    while page := await evidence.accepted(last, older_than=settle, limit=PAGE):
        yield page
        last = page[-1].turn_id


async def _compare(page: list[AcceptedTurn], history: History, report: VerificationReport) -> None:
    report.compared += len(page)
    stored = await history.digests([turn.turn_id for turn in page])
    for turn in page:
        kind = _verdict(turn, stored.get(turn.turn_id))
        if kind is not None:
            report.findings.append(TurnFinding(turn.turn_id, kind))
        elif not turn.sent and not turn.confirmed:
            report.waiting += 1


def _verdict(accepted: AcceptedTurn, stored: StoredTurn | None) -> FindingKind | None:
    if not accepted.has_event and not accepted.confirmed:
        return "unpublished"
    if stored is None:
        # An event that still waits for the bus is late, not lost.
        return "missing" if accepted.sent or accepted.confirmed else None
    if stored.status != accepted.status:
        return "altered" if accepted.sent or accepted.confirmed else None
    same = stored.sha256 is None or stored.sha256 == accepted.sha256
    return None if same else "altered"


def _all(kind: FindingKind, turn_ids: Iterable[UUID]) -> list[TurnFinding]:
    return [TurnFinding(turn_id, kind) for turn_id in turn_ids]
