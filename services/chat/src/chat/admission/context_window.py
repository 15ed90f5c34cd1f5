"""The prompt's messages: earlier exchanges, trimmed to the model's context window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chat.admission.past_messages import NO_TURN, grouped, has_steps, messages_of, with_paired_calls
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.errors import ContextLengthExceeded, HistoryUnavailable, MessageNotFound
from chat.generation import PromptImage
from chat.history import History
from chat.model import ContextState, ToolResult
from chat.past_exchanges import PastExchange, result_steps
from chat.token_estimate import CHARACTERS_PER_TOKEN, estimate_messages, estimate_options
from chat.turn_store import TurnStore

SYSTEM_ROLES = frozenset({"system", "developer"})
MAX_EXCHANGES = 1000
MIN_ANSWER_TOKENS = 16
"""Tokens of the context window that are kept free for the answer."""
CONVERSATION_SHARE = 0.5
"""Earlier exchanges may fill this share of the context window, however long the answer may be.

Many models can answer with as many tokens as their whole window has. Without this share, they would forget everything.
"""


@dataclass(frozen=True, slots=True)
class EarlierExchanges:
    """Exchanges before a message, newest first.

    ``partial``: history did not return the older ones. ``more``: there are older ones, which would not fit.
    """

    exchanges: Sequence[PastExchange] = ()
    partial: bool = False
    more: bool = False

    @property
    def tokens(self) -> int:
        """The estimated tokens of the exchanges."""
        return _length(self.exchanges) // CHARACTERS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class PromptContext:
    """Messages that fit into the context window, their estimated tokens, and the number of omitted turns."""

    messages: list[dict[str, Any]]
    prompt_tokens: int
    max_tokens: int
    state: ContextState
    omitted_turns: int
    images: Mapping[UUID, PromptImage] = field(default_factory=dict)


class ContextLoader:
    """Loads the exchanges before a message from chat's own turns, and older ones from history."""

    def __init__(self, store: TurnStore, history: History) -> None:
        self._store, self._history = store, history

    async def before(
        self, conversation_id: UUID, parent_id: UUID, *, user_id: UUID, window: int, certain: bool
    ) -> EarlierExchanges:
        """Return the exchanges that end in the answer ``parent_id``, enough to fill ``window`` tokens.

        Unless the answer is ``certain`` to exist, raises MessageNotFound if it does not, and HistoryUnavailable if only
        history could tell.
        """
        # Twice the usual length: the exact cut, by tokens, happens in ``fit``.
        characters = window * CHARACTERS_PER_TOKEN * 2
        own = await self._store.chain(conversation_id, parent_id, characters=characters, limit=MAX_EXCHANGES)
        if own and not self._continues_in_history(own, characters):
            return EarlierExchanges(own, more=own[-1].parent_id is not None)
        missing = own[-1].parent_id if own else parent_id
        assert missing is not None
        try:
            room = characters - _length(own)
            older = await self._history.exchanges(conversation_id, missing, user_id, characters=room)
        except HistoryUnavailable:
            if not own and not certain:
                raise
            return EarlierExchanges(own, partial=True)
        if not own and not older.exists and not certain:
            raise MessageNotFound
        return EarlierExchanges([*own, *older.exchanges], partial=not older.exists, more=older.more)

    @staticmethod
    def _continues_in_history(own: Sequence[PastExchange], characters: int) -> bool:
        return own[-1].parent_id is not None and len(own) < MAX_EXCHANGES and _length(own) < characters


def _length(exchanges: Sequence[PastExchange]) -> int:
    return sum(exchange.length for exchange in exchanges)


@dataclass(frozen=True, slots=True)
class NewInput:
    """What a turn answers: a message and tool results, or, if it ``continues``, tool results only."""

    message: str
    tool_results: Sequence[ToolResult] = ()
    continues: bool = False
    messages: Sequence[dict[str, Any]] | None = None
    """The input as messages, if it is more than the message and the tool results."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the provider that take up room, such as tools."""


def fit(
    past: EarlierExchanges,
    new: NewInput,
    *,
    system_prompt: str | None,
    model: Model,
    max_tokens: int | None,
    trims: bool = True,
) -> PromptContext:
    """Return the system prompt, the newest exchanges that fit, and the new input.

    Raises ContextLengthExceeded if the system prompt and the new input alone do not fit, or, unless it ``trims``, if
    any exchange does not.
    """
    options = estimate_options(new.options)
    frame = [{"role": "system", "content": system_prompt}] if system_prompt else []
    exchanges = [_unanswered(new), *past.exchanges]
    groups = grouped(exchanges)
    newest = next(groups)
    kept = [messages_of(newest)]
    needed = options + estimate_messages([*frame, *kept[0]])
    _require_fit(needed, model)
    for_answer = min(_wanted(max_tokens, model), int(model.context_window * (1 - CONVERSATION_SHARE)))
    room = max(model.context_window - max(for_answer, MIN_ANSWER_TOKENS), needed)
    omitted = len(exchanges) - len(newest)
    for group in groups:
        messages = messages_of(group)
        size = estimate_messages(messages)
        if needed + size > room:
            _require_trims(needed + size, room, allowed=trims)
            break
        needed += size
        omitted -= len(group)
        kept.append(messages)
    if past.more:
        _require_trims(room + 1, room, allowed=trims)
    state: ContextState = "partial" if past.partial else "trimmed" if omitted or past.more else "complete"
    messages = [message for group in reversed(kept) for message in group]
    if any(map(has_steps, exchanges)):
        messages = with_paired_calls(messages)
        needed = options + estimate_messages([*frame, *messages])
    return PromptContext([*frame, *messages], needed, answer_room(needed, max_tokens, model), state, omitted)


def _require_trims(prompt_tokens: int, accepted: int, *, allowed: bool) -> None:
    if not allowed:
        raise ContextLengthExceeded(prompt_tokens, accepted)


def _unanswered(new: NewInput) -> PastExchange:
    before = result_steps(new.tool_results) if new.messages is None else ()
    return PastExchange(NO_TURN, None, new.message, "", None, before, continues=new.continues, input=new.messages)


def answer_room(prompt_tokens: int, max_tokens: int | None, model: Model) -> int:
    """Return the maximum length of an answer of the model, of which at most ``max_tokens`` are wanted."""
    return min(_wanted(max_tokens, model), model.context_window - prompt_tokens)


def _wanted(max_tokens: int | None, model: Model) -> int:
    return min(max_tokens or model.default_max_tokens or model.max_output_tokens, model.max_output_tokens)


def client_context(request: TurnRequest, model: Model) -> PromptContext:
    """Return the context of a request that carries all messages itself; raises ContextLengthExceeded."""
    messages = list(request.messages or ())
    if model.system_prompt and not any(message["role"] in SYSTEM_ROLES for message in messages):
        messages.insert(0, {"role": "system", "content": model.system_prompt})
    needed = estimate_messages(messages) + estimate_options(request.options)
    _require_fit(needed, model)
    return PromptContext(messages, needed, answer_room(needed, request.max_tokens, model), "complete", 0)


def _require_fit(prompt_tokens: int, model: Model) -> None:
    accepted = model.context_window - MIN_ANSWER_TOKENS
    if prompt_tokens > accepted:
        raise ContextLengthExceeded(prompt_tokens, accepted)
