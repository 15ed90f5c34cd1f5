"""Items that a user puts into a conversation or deletes. Groups of inserted ones are turns that nobody generated."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from chat.admission.item_deletion import parse_place
from chat.admission.plans import ChatPlans
from chat.admission.position import PositionResolver, TurnPosition
from chat.admission.token_limits import TokenLimits
from chat.admission.turn_request import TurnRequest
from chat.errors import ConversationNotFound, MessageNotFound
from chat.input_items import Item, messages_of_items, text_of, user_text
from chat.item_store import ItemStore, NewItems
from chat.model import INSERTED, IdempotencyKey, LogEntry, ToolResult, Turn
from chat.token_estimate import CHARACTERS_PER_TOKEN
from chat.turn_store import TurnRefused
from parley import times
from parley.errors import Overloaded
from parley.ids import new_id
from parley.process.locks import KeyedLocks, held_within
from parley.web.idempotency_keys import IdempotencyKeyReused

MAX_ATTEMPTS = 5
CHANGE_TIMEOUT = 10.0
"""Seconds that a change waits for those before it of the same user."""
TOO_MANY_CHANGES = "Another change of this account takes long. Try again later."
NO_RUNNER = UUID(int=0)
"""The runner of a turn that never runs."""
DEFAULT_MODEL = "default"
"""Model of an inserted turn in events, which always name one. Nothing was asked of it."""


@dataclass(slots=True)
class ItemGroup:
    """Items of one turn, as history has room for them: a user message, tool results, an answer with its calls."""

    given: list[Item] = field(default_factory=list)
    answer: list[Item] = field(default_factory=list)

    def takes(self, item: Item) -> bool:
        """Tell whether an item can follow in this group, so that all views show the items in this order."""
        if item["type"] == "function_call":
            return True
        if self.answer:
            return False
        if item.get("role") != "user":
            return True
        return not any(one.get("role") == "user" or one["type"] == "function_call_output" for one in self.given)

    def add(self, item: Item) -> None:
        """Add an item."""
        is_answer = item["type"] == "function_call" or item.get("role") == "assistant"
        (self.answer if is_answer else self.given).append(item)


def grouped(items: Iterable[Item]) -> list[ItemGroup]:
    """Return the groups of items, in their order."""
    groups: list[ItemGroup] = []
    for item in items:
        if not groups or not groups[-1].takes(item):
            groups.append(ItemGroup())
        groups[-1].add(item)
    return groups


def tokens_of(items: Sequence[Item]) -> int:
    """Return the tokens that stored items count, by their size as JSON: data that is no text takes room, too."""
    return -(-len(orjson.dumps(items)) // CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class ItemsRequest:
    """Items to put into a conversation of a user."""

    user_id: UUID
    plan: str
    request_id: str
    conversation_id: UUID
    items: Sequence[Item]
    key: IdempotencyKey | None = None


class ConversationItems:
    """Puts items into conversations, behind the newest answer or the one that the user has chosen, and deletes them."""

    def __init__(
        self, store: ItemStore, positions: PositionResolver, token_limits: TokenLimits, plans: ChatPlans
    ) -> None:
        self._store, self._positions = store, positions
        self._token_limits, self._plans = token_limits, plans
        self._changes = KeyedLocks(asyncio.Lock)

    async def insert(self, request: ItemsRequest) -> tuple[list[Turn], bool]:
        """Store the items; return their turns, and whether an earlier request with the same key has stored them.

        They take tokens of the user's limit, or else a user could store any amount of text. Raises
        ConversationNotFound, TurnInProgress, IdempotencyKeyReused, Erased, HistoryUnavailable, RateLimited, and
        Overloaded if concurrent changes of the conversation win every attempt.
        """
        earlier = await self._earlier(request)
        if earlier is not None:
            return earlier, True
        plan, tokens = self._plans.find(request.plan), tokens_of(request.items)
        async with self._token_limits.taken(request.user_id, plan, tokens, what="These items take"):
            stored, replayed = await self._insert(request)
        if replayed:  # a concurrent request with the same key has taken them
            await self._token_limits.release(request.user_id, plan, tokens)
        return stored, replayed

    async def _insert(self, request: ItemsRequest) -> tuple[list[Turn], bool]:
        for _ in range(MAX_ATTEMPTS):
            position = await self._positions.find(
                TurnRequest(
                    request.user_id, request.plan, request.request_id, "", conversation_id=request.conversation_id
                )
            )
            turns = _turns(request, position)
            try:
                async with self._change_of(request.user_id):
                    stored = await self._store.insert(_new_items(position, turns), request.key)
            except TurnRefused:
                stored = None
            if stored is not None:
                return stored, False
            earlier = await self._earlier(request)
            if earlier is not None:
                return earlier, True
        raise Overloaded

    async def delete(self, user_id: UUID, conversation_id: UUID, item_id: str) -> None:
        """Delete an item; raises MessageNotFound if the user's conversation has no such item, and TurnInProgress.

        A message with many answers takes long.
        """
        item = parse_place(item_id)
        if item is None:
            raise MessageNotFound
        async with self._change_of(user_id):
            if not await self._store.delete(user_id, conversation_id, item):
                raise MessageNotFound

    def _change_of(self, user_id: UUID) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a user's changes, who would wait in the store, each with one of its connections.

        Raises Overloaded if it is not free in time.
        """
        return held_within(CHANGE_TIMEOUT, self._changes.of(user_id), TOO_MANY_CHANGES)

    async def _earlier(self, request: ItemsRequest) -> list[Turn] | None:
        if request.key is None:
            return None
        found = await self._store.inserted(request.key)
        if found is None:
            return None
        if found.body_hash != request.key.body_hash:
            raise IdempotencyKeyReused
        if not found.turns:
            raise ConversationNotFound
        return found.turns


def _new_items(position: TurnPosition, turns: Sequence[Turn]) -> NewItems:
    return NewItems(
        turns,
        first_number=position.first_number,
        adopted=position.adopted,
        head=position.head,
        expected_latest=position.parent_id if position.follows_latest else None,
        follows_latest=position.follows_latest,
    )


def _turns(request: ItemsRequest, position: TurnPosition) -> list[Turn]:
    groups, parent = grouped(request.items), position.parent_id
    turns: list[Turn] = []
    for group in groups:
        turns.append(_turn(request, group, parent, len(groups)))
        parent = turns[-1].id
    return turns


def _turn(request: ItemsRequest, group: ItemGroup, parent: UUID | None, count: int) -> Turn:
    """Return the turn of a group; its number is chosen when it is stored."""
    now, turn_id = times.now(), new_id()
    has_user = any(item.get("role") == "user" for item in group.given)
    message = messages_of_items(group.answer)[0] if group.answer else {}
    content, calls = text_of(message.get("content")), message.get("tool_calls")
    return Turn(
        id=turn_id,
        user_id=request.user_id,
        conversation_id=request.conversation_id,
        number=0,
        parent_id=parent,
        regenerate=None,
        user_message_id=new_id(),
        user_message=user_text(group.given),
        user_message_at=now,
        system_prompt=None,
        model=DEFAULT_MODEL,
        provider=None,
        provider_model=None,
        metadata={},
        request_id=request.request_id,
        context="complete",
        omitted_turns=0,
        prompt_tokens=0,
        status="completed",
        finish_reason=INSERTED,
        epoch=1,
        runner_id=NO_RUNNER,
        deadline_at=now,
        entries=_entries(content, calls or ()),
        content=content,
        tool_calls=calls,
        usage=None,
        cost=None,
        price_version=None,
        error=None,
        time_to_first_token_ms=None,
        log_lost=False,
        cached=False,
        created_at=now,
        started_at=now,
        finished_at=now,
        tool_results=tuple(map(_result, _outputs(group.given))),
        continues=not has_user,
        response={"input": group.given, "inserted_turns": count},
    )


def _entries(content: str, calls: Sequence[dict[str, Any]]) -> tuple[LogEntry, ...]:
    deltas = tuple({"index": index, **call} for index, call in enumerate(calls))
    return (*((LogEntry(content),) if content else ()), *((LogEntry("", deltas),) if deltas else ()))


def _outputs(items: Iterable[Item]) -> Iterable[Item]:
    return (item for item in items if item["type"] == "function_call_output")


def _result(item: Item) -> ToolResult:
    return ToolResult(new_id(), item["call_id"], text_of(item["output"]))
