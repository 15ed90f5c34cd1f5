"""Verification of a running system: every accepted turn is stored by history and published once."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from chat.history import History, StoredTurn

FindingKind = Literal["missing", "altered", "double", "unpublished", "unfinished"]
PAGE_SIZE = 1000
RECOVERY_MARGIN = 60.0
"""Seconds after its deadline by which a turn must have ended."""


@dataclass(frozen=True, slots=True)
class AcceptedTurn:
    """An ended turn in chat's database; ``sha256`` is the digest of its answer's text."""

    turn_id: UUID
    status: str
    sha256: str
    confirmed: bool
    has_event: bool
    sent: bool
    redacting: bool = False
    """Items of it were deleted, and the event that says so is not sent, or was not long ago."""


@dataclass(frozen=True, slots=True)
class TurnFinding:
    """A turn that failed the verification."""

    turn_id: UUID
    kind: FindingKind


@dataclass(slots=True)
class VerificationReport:
    """Numbers of compared turns, of turns waiting in the outbox and of republished events, and the findings."""

    compared: int = 0
    waiting: int = 0
    repaired: int = 0
    findings: list[TurnFinding] = field(default_factory=list)

    def of(self, *kinds: FindingKind) -> list[UUID]:
        """Return the turns with a finding of these kinds."""
        return [finding.turn_id for finding in self.findings if finding.kind in kinds]


class VerificationSource(Protocol):
    """Turns in chat's database."""

    async def accepted(self, after: UUID | None, *, older_than: float, limit: int) -> list[AcceptedTurn]:
        """Return a page of turns that ended more than ``older_than`` seconds ago, by ID."""
        ...

    async def overdue_turns(self, *, overdue: float) -> list[UUID]:
        """Return running turns that are ``overdue`` seconds past their deadline."""
        ...

    async def turns_with_two_ends(self) -> list[UUID]:
        """Return turns with more than one terminal event."""
        ...

    async def republish(self, turn_ids: list[UUID]) -> int:
        """Republish the events of turns; returns the number of events."""
        ...


async def verify(
    source: VerificationSource, history: History, *, settle: float, repair: bool = False
) -> VerificationReport:
    """Compare all turns that ended more than ``settle`` seconds ago with history.

    With ``repair``, missing and altered turns are republished, and history stores them as they were accepted. A
    duplicate terminal event cannot be withdrawn; subscribers skip it by turn ID.
    """
    report = VerificationReport()
    async for page in _pages(source, settle):
        await _compare(page, history, report)
    report.findings += _findings("unfinished", await source.overdue_turns(overdue=RECOVERY_MARGIN))
    report.findings += _findings("double", await source.turns_with_two_ends())
    wrong = report.of("missing", "altered")
    if repair and wrong:
        report.repaired = await source.republish(wrong)
    return report


async def _pages(source: VerificationSource, settle: float) -> AsyncIterator[list[AcceptedTurn]]:
    last: UUID | None = None
    while page := await source.accepted(last, older_than=settle, limit=PAGE_SIZE):
        yield page
        last = page[-1].turn_id


async def _compare(page: list[AcceptedTurn], history: History, report: VerificationReport) -> None:
    report.compared += len(page)
    stored = await history.digests([turn.turn_id for turn in page])
    for turn in page:
        kind = _finding_kind(turn, stored.get(turn.turn_id))
        if kind is not None:
            report.findings.append(TurnFinding(turn.turn_id, kind))
        elif turn.redacting or (not turn.sent and not turn.confirmed):
            report.waiting += 1


def _finding_kind(accepted: AcceptedTurn, stored: StoredTurn | None) -> FindingKind | None:
    if not accepted.has_event and not accepted.confirmed:
        return "unpublished"
    if stored is None:
        # An event that still waits in the outbox is late, not lost.
        return "missing" if accepted.sent or accepted.confirmed else None
    if stored.status != accepted.status:
        return "altered" if accepted.sent or accepted.confirmed else None
    same = stored.sha256 is None or stored.sha256 == accepted.sha256
    return None if same or accepted.redacting else "altered"


def _findings(kind: FindingKind, turn_ids: Iterable[UUID]) -> list[TurnFinding]:
    return [TurnFinding(turn_id, kind) for turn_id in turn_ids]
