"""What the model is shown: the chain of earlier turns, trimmed to its window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chat.catalogue import Model
from chat.errors import ContextLengthExceeded, HistoryUnavailable, MessageNotFound
from chat.history import History
from chat.model import ContextState, PastExchange
from chat.token_estimate import CHARACTERS_PER_TOKEN, estimate_messages
from chat.turn_store import TurnStore

MAX_EXCHANGES = 1000
RESERVE = 16
"""Tokens of the window that no prompt may take: what an answer needs at least."""


@dataclass(frozen=True, slots=True)
class EarlierExchanges:
    """Earlier exchanges, newest first; ``partial`` when history could not be asked for the older ones."""

    exchanges: Sequence[PastExchange] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class PromptContext:
    """Messages that fit into the window, what they are estimated to take, and what was left out."""

    messages: list[dict[str, Any]]
    prompt_tokens: int
    max_tokens: int
    state: ContextState
    omitted_turns: int


class ContextLoader:
    """Finds the exchanges before a message: in chat's own turns, the older ones in history."""

    def __init__(self, store: TurnStore, history: History) -> None:
        self._store, self._history = store, history

    async def before(
        self, conversation_id: UUID, parent_id: UUID, *, token: str, window: int, certain: bool
    ) -> EarlierExchanges:
        """Return the chain that ends in an answer.

        ``certain`` says that the answer is known to exist; otherwise raises MessageNotFound, and HistoryUnavailable
        when only history could tell.
        """
        # Text is rarely denser than this; the chain is cut by tokens afterwards.
        characters = window * CHARACTERS_PER_TOKEN * 2
        own = await self._store.chain(conversation_id, parent_id, characters=characters, limit=MAX_EXCHANGES)
        if own and not self._continues(own, characters):
            return EarlierExchanges(own)
        missing = own[-1].parent_id if own else parent_id
        assert missing is not None
        try:
            older = await self._history.exchanges(conversation_id, missing, token)
        except HistoryUnavailable:
            if not own and not certain:
                raise
            return EarlierExchanges(own, partial=True)
        if not own and not older and not certain:
            raise MessageNotFound
        return EarlierExchanges([*own, *older], partial=not older)

    @staticmethod
    def _continues(own: Sequence[PastExchange], characters: int) -> bool:
        """Say whether the chain stops because chat has no more of it."""
        read = sum(len(e.user_message) + len(e.answer) for e in own)
        return own[-1].parent_id is not None and len(own) < MAX_EXCHANGES and read < characters


def fit(
    past: EarlierExchanges, message: str, *, system_prompt: str | None, model: Model, max_tokens: int | None
) -> PromptContext:
    """Return the messages for a model: system prompt and message stay, the oldest exchanges go first.

    Raises ContextLengthExceeded when the message alone does not fit.
    """
    frame = [{"role": "system", "content": system_prompt}] if system_prompt else []
    question = {"role": "user", "content": message}
    needed = estimate_messages([*frame, question])
    require_fit(needed, model)
    wanted = min(max_tokens or model.max_output_tokens, model.max_output_tokens)
    room = max(model.context_window - max(wanted, RESERVE), needed)
    kept: list[list[dict[str, Any]]] = []
    for exchange in past.exchanges:
        pair = _messages(exchange)
        size = estimate_messages(pair)
        if needed + size > room:
            break
        needed += size
        kept.append(pair)
    omitted = len(past.exchanges) - len(kept)
    state: ContextState = "partial" if past.partial else "trimmed" if omitted else "complete"
    earlier = [m for pair in reversed(kept) for m in pair]
    return PromptContext(
        [*frame, *earlier, question], needed, min(wanted, model.context_window - needed), state, omitted
    )


def require_fit(prompt_tokens: int, model: Model) -> None:
    """Raise ContextLengthExceeded when a prompt leaves no room for an answer."""
    if prompt_tokens > model.context_window - RESERVE:
        raise ContextLengthExceeded


def _messages(exchange: PastExchange) -> list[dict[str, Any]]:
    if not exchange.answer:
        return []
    return [
        {"role": "user", "content": exchange.user_message},
        {"role": "assistant", "content": exchange.answer},
    ]
