"""Verification of accepted turns against history."""

from dataclasses import replace
from uuid import UUID

from chat.events.verification import AcceptedTurn, VerificationReport, verify
from chat.history import StoredTurn
from chat_testing.history import FakeHistory
from chat_testing.stores import InMemoryVerificationSource
from parley.ids import new_id


def history_with(**stored: StoredTurn) -> FakeHistory:
    return FakeHistory(stored={UUID(turn_id): found for turn_id, found in stored.items()})


def turn(digest: str = "d", *, sent: bool = True, has_event: bool = True, confirmed: bool = False) -> AcceptedTurn:
    return AcceptedTurn(new_id(), "completed", digest, confirmed, has_event, sent)


async def compared(
    source: InMemoryVerificationSource, history: FakeHistory, *, repair: bool = False
) -> VerificationReport:
    return await verify(source, history, settle=0, repair=repair)


async def test_turns_that_agree_are_only_counted() -> None:
    kept = turn()
    report = await compared(
        InMemoryVerificationSource(kept), history_with(**{str(kept.turn_id): StoredTurn("completed", "d")})
    )
    assert (report.compared, report.findings) == (1, [])


async def test_a_turn_that_history_has_not_stored_is_missing_once_its_event_was_sent() -> None:
    lost, late = turn(), turn(sent=False)
    report = await compared(InMemoryVerificationSource(lost, late), FakeHistory())
    assert report.of("missing") == [lost.turn_id]
    assert report.waiting == 1


async def test_a_turn_with_a_different_text_or_status_is_altered() -> None:
    text, status = turn(), turn()
    history = history_with(
        **{str(text.turn_id): StoredTurn("completed", "other"), str(status.turn_id): StoredTurn("incomplete", "d")}
    )
    report = await compared(InMemoryVerificationSource(text, status), history)
    assert set(report.of("altered")) == {text.turn_id, status.turn_id}


async def test_a_turn_whose_items_were_just_deleted_waits_for_history() -> None:
    kept = replace(turn(), redacting=True)
    history = history_with(**{str(kept.turn_id): StoredTurn("completed", "with the deleted text")})
    report = await compared(InMemoryVerificationSource(kept), history)
    assert (report.findings, report.waiting) == ([], 1)


async def test_a_turn_without_a_terminal_event_is_unpublished() -> None:
    silent = turn(has_event=False, sent=False)
    report = await compared(InMemoryVerificationSource(silent), FakeHistory())
    assert report.of("unpublished") == [silent.turn_id]


async def test_duplicate_ends_and_overdue_turns_are_found() -> None:
    double, overdue = new_id(), new_id()
    report = await compared(InMemoryVerificationSource(with_two_ends=(double,), overdue=(overdue,)), FakeHistory())
    assert (report.of("double"), report.of("unfinished")) == ([double], [overdue])


async def test_repair_republishes_missing_and_altered_turns_only() -> None:
    lost, fine = turn(), turn()
    source = InMemoryVerificationSource(lost, fine, with_two_ends=(new_id(),))
    report = await compared(source, history_with(**{str(fine.turn_id): StoredTurn("completed", "d")}), repair=True)
    assert source.republished == [lost.turn_id]
    assert report.repaired == 1
