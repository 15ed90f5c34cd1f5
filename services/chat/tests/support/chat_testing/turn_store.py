"""In-memory turn store. It passes the same contract tests as the Postgres store."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from chat.admission.budgets import BudgetUse
from chat.admission.new_turn import admitted_turn
from chat.errors import Erased
from chat.input_items import files_of_input
from chat.model import ConversationState, IdempotencyKey, NewTurn, Outcome, Reservation, Turn
from chat.past_exchanges import PastExchange
from chat.turn_store import AdmissionResult, IdempotencyRecord, TurnPage, TurnRefused, TurnSnapshot, TurnsTooLong
from chat_testing.budgets import InMemoryBudgets
from chat_testing.turn_chain import chain_of, within
from parley.errors import DependencyUnavailable


@dataclass
class _Conversation:
    user_id: UUID
    next_number: int
    system_prompt: str | None
    latest_turn_id: UUID | None = None
    deleted: bool = False
    item_deletions: int = 0


@dataclass
class InMemoryTurnStore:
    """A TurnStore, RunnerStore and BudgetStore. Every method raises DependencyUnavailable while ``unavailable``.

    Every method raises ``failure`` while it is set.
    """

    turns: dict[UUID, Turn] = field(default_factory=dict)
    conversations: dict[UUID, _Conversation] = field(default_factory=dict)
    erased_users: set[UUID] = field(default_factory=set)
    leases: dict[UUID, float] = field(default_factory=dict)
    event_names: list[str] = field(default_factory=list)
    """Names of the published events, in order."""
    unavailable: bool = False
    failure: Exception | None = None
    _keys: dict[tuple[UUID, str, str], IdempotencyRecord] = field(default_factory=dict)
    budgets: InMemoryBudgets = field(default_factory=InMemoryBudgets)
    _reservations: dict[UUID, Reservation] = field(default_factory=dict)

    async def admit(self, turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> AdmissionResult:
        self._require_available()
        if turn.user_id in self.erased_users:
            raise TurnRefused
        if key is not None:
            record = self._keys.get((key.user_id, key.route, key.key))
            if record is not None:
                return AdmissionResult(record.turn_id, None, record.body_hash)
        number = self._next_number(turn)
        self._require_current(turn.copied_from)
        self.budgets.reserve(turn.user_id, turn.reservation)
        self._reservations[turn.id] = turn.reservation
        if key is not None:
            self._keys[key.user_id, key.route, key.key] = IdempotencyRecord(turn.id, key.body_hash)
        result = AdmissionResult(turn.id, number, key.body_hash if key else None)
        self.turns[turn.id] = admitted_turn(turn, result, runner_id)
        if turn.conversation_id is not None:
            self._continue_conversation(turn, turn.conversation_id)
            self.event_names.append("conversation.turn.started")
        return result

    def _next_number(self, turn: NewTurn) -> int:
        if turn.conversation_id is None:
            return 1
        conversation = self.conversations.get(turn.conversation_id)
        if conversation is None:
            return turn.first_number
        moved = turn.follows_latest and conversation.latest_turn_id != turn.parent_id
        moved = moved or conversation.item_deletions != turn.item_deletions
        running = any(t.running and t.conversation_id == turn.conversation_id for t in self.turns.values())
        if conversation.user_id != turn.user_id or conversation.deleted or moved or running:
            raise TurnRefused
        return conversation.next_number

    def _require_current(self, copied_from: dict[UUID, int]) -> None:
        for conversation_id, item_deletions in copied_from.items():
            source = self.conversations.get(conversation_id)
            if source is None or source.deleted or source.item_deletions != item_deletions:
                raise TurnRefused

    def _continue_conversation(self, turn: NewTurn, conversation_id: UUID) -> None:
        kept_prompt = turn.kept_system_prompt
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            self.conversations[conversation_id] = _Conversation(
                turn.user_id, turn.first_number + 1, kept_prompt, turn.head
            )
        else:
            conversation.next_number += 1
            conversation.system_prompt = conversation.system_prompt if kept_prompt is None else kept_prompt

    async def move_reservation(self, turn: Turn, model: str, reservation: Reservation) -> bool:
        self._require_available()
        row = self.turns.get(turn.id)
        if row is None or row.epoch != turn.epoch or not row.running:
            return False
        self.budgets.move(turn.user_id, self._reservations[turn.id], reservation)
        self._reservations[turn.id] = reservation
        self.turns[turn.id] = replace(row, answering_model=model)
        return True

    async def finish(self, turn: Turn, outcome: Outcome) -> Turn | None:
        self._require_available()
        row = self.turns.get(turn.id)
        if row is None or row.epoch != turn.epoch:
            return None
        if not row.running:
            return row
        ended = self.turns[turn.id] = replace(
            row,
            status=outcome.status,
            finish_reason=outcome.finish_reason,
            entries=outcome.entries,
            content=outcome.content,
            tool_calls=outcome.tool_calls,
            usage=outcome.usage,
            cost=outcome.cost,
            price_version=outcome.price_version,
            provider=outcome.provider,
            provider_model=outcome.provider_model,
            error=outcome.error,
            finished_at=outcome.finished_at,
            time_to_first_token_ms=outcome.time_to_first_token_ms,
            log_lost=outcome.log_lost,
            cached=outcome.cached,
        )
        if ended.conversation_id is not None and outcome.has_output:
            self.conversations[ended.conversation_id].latest_turn_id = ended.id
        self.budgets.settle(ended.user_id, self._reservations.get(ended.id, Reservation()), outcome)
        if outcome.status == "failed":
            self._keys = {key: record for key, record in self._keys.items() if record.turn_id != ended.id}
        self.event_names.append(f"conversation.turn.{outcome.status}")
        return ended

    async def get(self, turn_id: UUID) -> Turn | None:
        self._require_available()
        turn = self.turns.get(turn_id)
        return turn if turn is not None and self._visible(turn) else None

    async def snapshots(self, turn_ids: Collection[UUID], *, characters: int) -> list[TurnSnapshot]:
        self._require_available()
        found = [turn for turn_id in turn_ids if (turn := await self.get(turn_id)) is not None]
        if len(within(found, characters)) < len(found):
            raise TurnsTooLong
        return [
            TurnSnapshot(turn, self.conversations[turn.conversation_id].item_deletions if turn.conversation_id else 0)
            for turn in found
        ]

    def _visible(self, turn: Turn) -> bool:
        conversation = self.conversations.get(turn.conversation_id) if turn.conversation_id else None
        return conversation is None or not conversation.deleted

    async def find_key(self, user_id: UUID, route: str, key: str) -> IdempotencyRecord | None:
        self._require_available()
        return self._keys.get((user_id, route, key))

    async def claim_key(self, key: IdempotencyKey, wanted: UUID) -> IdempotencyRecord:
        self._require_available()
        if key.user_id in self.erased_users:
            raise Erased
        return self._keys.setdefault((key.user_id, key.route, key.key), IdempotencyRecord(wanted, key.body_hash))

    async def conversation(self, conversation_id: UUID) -> ConversationState | None:
        self._require_available()
        found = self.conversations.get(conversation_id)
        if found is None:
            return None
        running = next((t.id for t in self.turns.values() if t.running and t.conversation_id == conversation_id), None)
        turns = [turn for turn in self.turns.values() if turn.conversation_id == conversation_id]
        newest = max(turns, key=lambda turn: turn.number, default=None)
        return ConversationState(
            conversation_id,
            found.user_id,
            found.deleted,
            found.latest_turn_id,
            found.system_prompt,
            running,
            found.next_number,
            newest.started_at if newest else None,
            found.item_deletions,
        )

    async def claim_conversation(self, conversation_id: UUID, user_id: UUID) -> ConversationState:
        self._require_available()
        if user_id in self.erased_users:
            raise Erased
        self.conversations.setdefault(conversation_id, _Conversation(user_id, 1, None))
        found = await self.conversation(conversation_id)
        assert found is not None
        return found

    async def is_erased(self, user_id: UUID) -> bool:
        self._require_available()
        return user_id in self.erased_users

    async def list_turns(
        self,
        user_id: UUID,
        *,
        conversation_id: UUID | None,
        status: str | None,
        before: UUID | None,
        limit: int,
        characters: int,
        with_files: bool = False,
    ) -> TurnPage:
        self._require_available()
        found = [
            turn
            for turn in self.turns.values()
            if turn.user_id == user_id
            and self._visible(turn)
            and conversation_id in {None, turn.conversation_id}
            and status in {None, turn.status}
            and (before is None or turn.id < before)
            and (not with_files or files_of_input(turn.response))
        ]
        listed = sorted(found, key=lambda turn: turn.id, reverse=True)
        page = within(listed[:limit], characters)
        return TurnPage(page, more=len(page) < len(listed))

    async def chain(self, conversation_id: UUID, turn_id: UUID, *, characters: int, limit: int) -> list[PastExchange]:
        self._require_available()
        return chain_of(self.turns, conversation_id, turn_id, characters=characters, limit=limit)

    async def hide_response(self, turn_id: UUID) -> None:
        turn = self.turns[turn_id]
        self.turns[turn_id] = replace(turn, response={**(turn.response or {}), "deleted": True})

    async def request_cancel(self, turn_id: UUID) -> None:
        self._require_available()
        turn = self.turns.get(turn_id)
        if turn is not None and turn.running:
            self.turns[turn_id] = replace(turn, cancel_requested=True)

    async def use(self, user_id: UUID, periods: Sequence[str]) -> dict[str, BudgetUse]:
        self._require_available()
        return self.budgets.use(user_id, periods)

    async def renew_lease(self, runner_id: UUID, lease: float) -> list[UUID]:
        self._require_available()
        self.leases[runner_id] = lease
        return [t.id for t in self.turns.values() if t.runner_id == runner_id and t.running and t.cancel_requested]

    async def release_lease(self, runner_id: UUID) -> None:
        self._require_available()
        self.leases.pop(runner_id, None)

    async def left_behind(self, runner_id: UUID, owned: Collection[UUID], limit: int) -> list[UUID]:
        self._require_available()
        return [turn.id for turn in self.turns.values() if self._may_take(turn, runner_id) and turn.id not in owned][
            :limit
        ]

    async def take_over(self, runner_id: UUID, turn_ids: Collection[UUID]) -> list[Turn]:
        self._require_available()
        found = [turn for turn in self.turns.values() if turn.id in turn_ids and self._may_take(turn, runner_id)]
        taken = [replace(turn, epoch=turn.epoch + 1, runner_id=runner_id) for turn in found]
        self.turns |= {turn.id: turn for turn in taken}
        return taken

    def _may_take(self, turn: Turn, runner_id: UUID) -> bool:
        return turn.running and (turn.runner_id == runner_id or turn.runner_id not in self.leases)

    async def ended(self, turn_ids: Collection[UUID]) -> dict[UUID, Turn | None]:
        self._require_available()
        found = [self.turns[turn_id] for turn_id in turn_ids if turn_id in self.turns]
        return {turn.id: None if turn.running else turn for turn in found}

    def _require_available(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.unavailable:
            raise DependencyUnavailable
