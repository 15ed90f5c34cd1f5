"""Intake of events: which of them are urgent, and what an old copy of the webhooks costs."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationCreated, TurnEnded, UserErased
from parley_events.testing.samples import sample
from webhooks.deliveries.model import NewEvent
from webhooks.intake.consumer import EventIntake
from webhooks.intake.postgres import TakenIn
from webhooks.intake.wanted import MAX_COPIED_WEBHOOKS, REFRESH_INTERVAL, WantedEvents


class WebhookTable:
    """The table of webhooks, and the intake that matches events against it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.reads = self.transactions = 0
        self.is_down = False
        self.now = 0.0
        self.wanted = WantedEvents(cast("Any", self), clock=lambda: self.now)
        self.intake = EventIntake(
            cast("Any", self),
            cast("Any", None),
            cast("Any", None),
            self.wanted,
            CollectorRegistry(),
            wake=lambda: None,
            wake_relay=lambda: None,
        )

    def add(self, user_id: UUID, *filters: str, scope: str = "own") -> None:
        self.rows.append({"user_id": user_id, "scope": scope, "events": list(filters)})

    async def fetch(self, _query: str, limit: int) -> list[dict[str, Any]]:
        self.reads += 1
        if self.is_down:
            raise ConnectionResetError
        return self.rows[:limit]

    async def matches_any(self, events: Sequence[NewEvent]) -> bool:
        return bool(self._matches(events))

    async def take_in(self, events: Sequence[NewEvent]) -> TakenIn:
        self.transactions += 1
        matches = self._matches(events)
        return TakenIn(set(matches), len(matches))

    def _matches(self, events: Sequence[NewEvent]) -> Sequence[UUID]:
        return [event.id for event in events for row in self.rows if row["user_id"] == event.user_id]


def _turn(user_id: UUID) -> CloudEvent:
    return sample(TurnEnded, user_id=user_id)


@pytest.fixture
async def table() -> WebhookTable:
    """Return a table whose copy was read while it had no row."""
    found = WebhookTable()
    assert found.intake.is_urgent(_turn(new_id())), "nothing is known before the first copy"
    await found.intake.handle_batch([_turn(new_id())])
    return found


async def test_no_event_is_urgent_without_webhooks_except_those_of_users(table: WebhookTable) -> None:
    before = table.transactions
    assert not table.intake.is_urgent(_turn(new_id()))
    assert await table.intake.handle_batch([_turn(new_id())]) == []
    assert table.transactions == before
    assert table.intake.is_urgent(sample(UserErased))


async def test_a_webhook_that_the_copy_lacks_delays_only_its_first_event(table: WebhookTable) -> None:
    user_id = new_id()
    table.add(user_id, "#")
    assert not table.intake.is_urgent(_turn(user_id))
    assert await table.intake.handle_batch([_turn(new_id()), _turn(user_id)]) == []
    assert table.intake.is_urgent(_turn(user_id))
    assert not table.intake.is_urgent(_turn(new_id()))


async def test_the_filters_of_webhooks_decide_and_those_for_all_users_hold_for_every_user(table: WebhookTable) -> None:
    user_id = new_id()
    table.add(user_id, "conversation.turn.started", "conversation.turn.*")
    table.add(new_id(), "conversation.created", scope="all")
    await table.wanted.refresh(at_once=True)
    assert table.intake.is_urgent(_turn(user_id))
    assert not table.intake.is_urgent(_turn(new_id()))
    assert table.intake.is_urgent(sample(ConversationCreated))


async def test_the_copy_is_read_again_when_it_is_old_so_that_deleted_webhooks_leave_it(table: WebhookTable) -> None:
    user_id = new_id()
    table.add(user_id, "#")
    await table.intake.handle_batch([_turn(user_id)])
    table.rows.clear()
    reads = table.reads
    await table.intake.handle_batch([_turn(user_id)])
    assert (table.reads, table.intake.is_urgent(_turn(user_id))) == (reads, True)
    table.now += REFRESH_INTERVAL
    await table.intake.handle_batch([_turn(user_id)])
    assert not table.intake.is_urgent(_turn(user_id))


async def test_every_event_is_urgent_with_more_webhooks_than_the_copy_holds(table: WebhookTable) -> None:
    for _ in range(MAX_COPIED_WEBHOOKS + 1):
        table.add(new_id(), "webhook.test")
    await table.wanted.refresh(at_once=True)
    assert table.intake.is_urgent(_turn(new_id()))


async def test_a_copy_that_cannot_be_read_fails_no_stored_batch(table: WebhookTable) -> None:
    user_id = new_id()
    table.add(user_id, "#")
    table.is_down = True
    assert await table.intake.handle_batch([_turn(user_id)]) == []
