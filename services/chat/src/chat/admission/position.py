"""Position of a turn in the conversation tree: its conversation, its parent and its user message."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from chat.admission.turn_request import TurnRequest
from chat.errors import ConversationNotFound, HistoryUnavailable, MessageNotFound, TurnInProgress
from chat.history import History, RegenerationSource
from chat.input_items import messages_of_input
from chat.model import ConversationState, ToolResult
from chat.turn_store import TurnStore
from parley.errors import InvalidRequest
from parley.field_errors import FieldError
from parley.ids import new_id

UNKNOWN_CALL = "The answer before has no tool call with the ID of a result."
MISSING_OUTPUT = "Each tool call of the answer before needs a result."
FIRST_NUMBER_WITH_BRANCHES = 3
"""The first turn that can follow another answer than the newest one."""


@dataclass(frozen=True, slots=True)
class TurnPosition:
    """Position of a turn. Without a conversation the turn is metered but not listed."""

    conversation_id: UUID | None
    message: str
    parent_id: UUID | None = None
    parent_certain: bool = True
    """The parent is known to exist, even if only history has its text."""
    follows_latest: bool = False
    item_deletions: int = 0
    user_message_id: UUID | None = None
    message_at: datetime | None = None
    system_prompt: str | None = None
    first_number: int = 1
    adopted: bool = False
    head: UUID | None = None
    """Newest answer of an adopted conversation."""
    tool_results: tuple[ToolResult, ...] = ()
    continues: bool = False
    """Answers tool results of its parent's calls. The user message is the parent's."""
    response: dict[str, Any] | None = None
    """The input of an answer that is generated again, if it is more than a text, such as a message with images."""


@dataclass(frozen=True, slots=True)
class _ConversationHead:
    latest: UUID | None = None
    system_prompt: str | None = None
    next_number: int = 1
    adopted: bool = False
    chosen: UUID | None = None
    """Answer that ends the branch that the user has chosen."""
    item_deletions: int = 0

    def system_prompt_of(self, request: TurnRequest) -> str | None:
        """Return the system prompt of a turn: the request's, also an empty one, or else the conversation's."""
        return self.system_prompt if request.system_prompt is None else request.system_prompt


class PositionResolver:
    """Finds the position of a turn in chat's own store, or in history for older conversations."""

    def __init__(self, store: TurnStore, history: History) -> None:
        self._store, self._history = store, history

    async def find(self, request: TurnRequest) -> TurnPosition:
        """Return the position of a turn.

        Raises ConversationNotFound, MessageNotFound, TurnInProgress, and HistoryUnavailable if history is needed but
        does not answer.
        """
        if not request.stored:
            return TurnPosition(None, request.message or "", system_prompt=request.system_prompt)
        if request.conversation_id is None:
            return TurnPosition(
                new_id(),
                request.message or "",
                system_prompt=request.system_prompt,
                tool_results=request.tool_results,
            )
        head = await self._head(request, request.conversation_id)
        if request.regenerate is not None:
            return await self._regeneration(request, request.conversation_id, request.regenerate, head)
        position = self._continuation(request, request.conversation_id, head)
        return await self._with_tool_results(request, position)

    async def _with_tool_results(self, request: TurnRequest, position: TurnPosition) -> TurnPosition:
        """Return the position with the request's tool results. Those of the parent's calls continue its exchange."""
        position = replace(position, tool_results=request.tool_results)
        pointer = request.results_at if request.tool_results else None
        if position.parent_id is None or position.conversation_id is None:
            if pointer is not None:
                raise _invalid_results(pointer, "unknown_call", UNKNOWN_CALL)
            return position
        if not request.answers_tool_results and pointer is None:
            return position
        try:
            source = await self._source(request, position.conversation_id, position.parent_id)
        except (MessageNotFound, HistoryUnavailable):
            if pointer is not None:
                raise
            return position
        if pointer is not None:
            _require_pairs(source.call_ids, request.tool_results, pointer)
        if not request.answers_tool_results or not source.has_calls_of(request.tool_results):
            return position
        return replace(
            position,
            continues=True,
            message=source.user_message,
            user_message_id=source.user_message_id,
            message_at=source.user_message_at,
        )

    async def _head(self, request: TurnRequest, conversation_id: UUID) -> _ConversationHead:
        found = await self._store.conversation(conversation_id)
        if found is not None:
            require_accepts_turn(found, request.user_id)
            chosen = await self._chosen(request, found)
            return _ConversationHead(
                found.latest_turn_id, found.system_prompt, chosen=chosen, item_deletions=found.item_deletions
            )
        owner = await self._history.owner(conversation_id)
        if owner is None:
            if not request.create:
                raise ConversationNotFound
            return _ConversationHead()
        if owner.user_id != request.user_id or owner.deleted:
            raise ConversationNotFound
        return _ConversationHead(
            owner.latest_answer, None, owner.last_number + 1, adopted=True, chosen=owner.chosen_answer
        )

    async def _chosen(self, request: TurnRequest, conversation: ConversationState) -> UUID | None:
        """Return the answer that the user has chosen since the newest turn, None if history does not tell in time."""
        if request.parent_id or request.regenerate or conversation.next_number < FIRST_NUMBER_WITH_BRANCHES:
            return None
        try:
            found = await self._history.chosen_branch(conversation.id)
        except HistoryUnavailable:
            return None
        if found is None or found.chosen_at is None:
            return None
        if found.user_id != request.user_id or found.deleted:
            raise ConversationNotFound
        newest = conversation.newest_turn_at
        return found.chosen_answer if newest is None or found.chosen_at >= newest else None

    @staticmethod
    def _continuation(request: TurnRequest, conversation_id: UUID, head: _ConversationHead) -> TurnPosition:
        is_root = request.parent_id == conversation_id
        follows_latest = request.parent_id is None and head.chosen is None
        wanted = None if is_root else request.parent_id or head.chosen
        return TurnPosition(
            conversation_id,
            request.message or "",
            parent_id=head.latest if follows_latest else wanted,
            parent_certain=request.parent_id is None,
            follows_latest=follows_latest,
            system_prompt=head.system_prompt_of(request),
            item_deletions=head.item_deletions,
            first_number=head.next_number,
            adopted=head.adopted,
            head=head.latest if head.adopted else None,
        )

    async def _regeneration(
        self, request: TurnRequest, conversation_id: UUID, answer_id: UUID, head: _ConversationHead
    ) -> TurnPosition:
        source = await self._source(request, conversation_id, answer_id)
        if _is_blank(source):
            raise MessageNotFound
        return TurnPosition(
            conversation_id,
            source.user_message,
            parent_id=source.parent_id,
            user_message_id=source.user_message_id,
            message_at=source.user_message_at,
            tool_results=source.tool_results,
            continues=source.continues,
            response=source.response,
            system_prompt=head.system_prompt_of(request),
            item_deletions=head.item_deletions,
            first_number=head.next_number,
            adopted=head.adopted,
            head=head.latest if head.adopted else None,
        )

    async def _source(self, request: TurnRequest, conversation_id: UUID, answer_id: UUID) -> RegenerationSource:
        turn = await self._store.get(answer_id)
        if turn is not None:
            if turn.conversation_id != conversation_id:
                raise MessageNotFound
            return RegenerationSource(
                turn.parent_id,
                turn.user_message_id,
                turn.user_message,
                turn.user_message_at,
                turn.tool_calls,
                turn.tool_results,
                turn.continues,
                {"input": turn.response["input"]} if turn.response and "input" in turn.response else None,
            )
        source = await self._history.regeneration_source(conversation_id, answer_id, request.user_id)
        if source is None:
            raise MessageNotFound
        return source


def _is_blank(source: RegenerationSource) -> bool:
    """Tell whether nothing is left of what an answer answers, because its user deleted it."""
    messages = messages_of_input(source.response)
    return not (source.user_message or source.tool_results) if messages is None else not messages


def _require_pairs(calls: set[str], results: Sequence[ToolResult], pointer: str) -> None:
    answered = {result.tool_call_id for result in results}
    if not answered <= calls:
        raise _invalid_results(pointer, "unknown_call", UNKNOWN_CALL)
    if not calls <= answered:
        raise _invalid_results(pointer, "missing_output", MISSING_OUTPUT)


def _invalid_results(pointer: str, code: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer, code, detail)])


def require_accepts_turn(conversation: ConversationState, user_id: UUID) -> None:
    """Raise ConversationNotFound or TurnInProgress unless the user can start a turn in the conversation."""
    require_owner(conversation, user_id)
    if conversation.running_turn_id is not None:
        raise TurnInProgress(conversation.running_turn_id)


def require_owner(conversation: ConversationState, user_id: UUID) -> None:
    """Raise ConversationNotFound if the conversation is deleted or belongs to another user."""
    if conversation.user_id != user_id or conversation.deleted:
        raise ConversationNotFound
