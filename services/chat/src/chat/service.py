"""Use cases of chat: open, follow, list and cancel turns."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chat.admission.admission import TurnAdmission
from chat.admission.token_limits import TokenQuota
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.errors import Erased, TurnNotFound
from chat.model import IdempotencyKey, Turn
from chat.running.readers import TurnReaders
from chat.running.supervisor import Supervisor
from chat.running.turn_updates import DirectDeltas, TurnUpdate
from chat.running.turn_view import TurnView
from chat.turn_store import TurnPage, TurnSnapshot, TurnStore
from parley.errors import DependencyUnavailable, Draining
from parley.ids import new_id
from parley.process.timeouts import at_most

MAX_PAGE_LENGTH = 4_000_000
"""Characters of stored turns with which a page of them ends."""
MAX_SNAPSHOTS_LENGTH = 16_777_216
"""Characters of stored turns that are read to copy some of their texts."""
CANCEL_TIMEOUT = 2.0
"""Seconds to wait for a cancelled turn to end."""
ABANDON_DELAY = 3.0
"""Seconds in which a gateway that lost its connection to this replica continues the stream on another one."""


@dataclass(frozen=True, slots=True)
class OpenedTurn:
    """A turn to follow; ``replayed`` if an earlier request with the same idempotency key opened it."""

    turn: Turn
    replayed: bool = False
    token_quota: TokenQuota | None = None


class ChatService:
    """Opens, follows, lists and cancels turns."""

    def __init__(
        self,
        *,
        store: TurnStore,
        admission: TurnAdmission,
        supervisor: Supervisor,
        readers: TurnReaders,
        draining: asyncio.Event,
        abandon_delay: float = ABANDON_DELAY,
    ) -> None:
        self._store, self._admission = store, admission
        self._supervisor, self._readers, self._draining = supervisor, readers, draining
        self._abandon_delay = abandon_delay

    async def open(self, request: TurnRequest) -> OpenedTurn:
        """Admit a turn and start it, or return the earlier turn of its idempotency key; raises as ``open_once``."""

        async def given() -> TurnRequest:
            return request

        return await self.open_once(request.key, given)

    async def open_once(self, key: IdempotencyKey | None, read: Callable[[], Awaitable[TurnRequest]]) -> OpenedTurn:
        """Return the earlier turn of an idempotency key, or admit the turn that ``read`` returns and start it.

        ``read`` is not called for a repeated request: what its body refers to, or its model, may be gone. The admission
        completes even if the caller is cancelled, but then a turn that is not stored is cancelled, too.

        Raises Draining, Overloaded and the errors of ``read`` and of ``TurnAdmission``.
        """
        if self._draining.is_set():
            raise Draining
        earlier = await self._admission.find_replay(key)
        if earlier is not None:
            return OpenedTurn(earlier, replayed=True)
        admission = self._supervisor.begin(self._admit(await read()))
        try:
            return await asyncio.shield(admission)
        except asyncio.CancelledError:
            admission.add_done_callback(self._abandon_unread)
            raise

    def _abandon_unread(self, admission: "asyncio.Task[OpenedTurn]") -> None:
        """Cancel a turn that is not stored: its client has left during the admission, and no other can read it."""
        if admission.cancelled() or admission.exception() is not None:
            return
        opened = admission.result()
        if not opened.turn.stored and not opened.replayed:
            with contextlib.suppress(Draining):
                self._supervisor.begin(self.abandon(opened.turn, resumable=False))

    async def _admit(self, request: TurnRequest) -> OpenedTurn:
        model = self._admission.select_model(request)
        turn_id, streams = new_id(), self._admission.plan(request).streams
        with self._supervisor.admitting(turn_id, request.user_id, streams):
            admitted = await self._admission.admit(request, model, self._supervisor.runner_id, turn_id)
            if isinstance(admitted, Turn):
                return OpenedTurn(admitted, replayed=True)
            self._supervisor.start(admitted)
        return OpenedTurn(admitted.turn, token_quota=admitted.token_quota)

    async def with_files(self, user_id: UUID, messages: list[dict[str, Any]], model: Model) -> list[dict[str, Any]]:
        """Return messages with the texts of their files, as admission sends them to a model; raises as it does."""
        return await self._admission.with_files(user_id, messages, model)

    async def get(self, user_id: UUID, turn_id: UUID | None) -> Turn:
        """Return a user's turn; raises TurnNotFound."""
        turn = await self._store.get(turn_id) if turn_id else None
        if turn is None or turn.user_id != user_id:
            raise TurnNotFound
        return turn

    async def snapshots(self, user_id: UUID, turn_ids: Collection[UUID]) -> list[TurnSnapshot]:
        """Return those of a few turns that the user has, to copy their texts into a new turn; raises TurnsTooLong."""
        found = await self._store.snapshots(turn_ids, characters=MAX_SNAPSHOTS_LENGTH) if turn_ids else []
        return [one for one in found if one.turn.user_id == user_id]

    async def list_turns(
        self,
        user_id: UUID,
        *,
        conversation_id: UUID | None,
        status: str | None,
        before: UUID | None,
        limit: int,
        with_files: bool = False,
    ) -> TurnPage:
        """Return a page of a user's turns, newest first. ``with_files``: only those whose input has files."""
        return await self._store.list_turns(
            user_id,
            conversation_id=conversation_id,
            status=status,
            before=before,
            limit=limit,
            characters=MAX_PAGE_LENGTH,
            with_files=with_files,
        )

    async def view(self, turn: Turn) -> TurnView:
        """Return a turn with its answer so far."""
        return await self._readers.view(turn)

    def follow(
        self, turn: Turn, after: int, *, idle_after: float, direct: DirectDeltas | None = None
    ) -> AsyncGenerator[TurnUpdate, None]:
        """Yield the updates of a turn behind a cursor, and StreamIdle after ``idle_after`` seconds without one.

        New entries may go past the updates through ``direct``. Raises InvalidCursor.
        """
        return self._readers.follow(turn, after, idle_after=idle_after, direct=direct)

    async def cancel(self, user_id: UUID, turn_id: UUID | None) -> Turn:
        """Cancel a turn and wait at most ``CANCEL_TIMEOUT`` seconds for its end; returns its last known state."""
        turn = await self.get(user_id, turn_id)
        if turn.running:
            await self.request_cancel(turn)
            async with at_most(CANCEL_TIMEOUT):
                return await self._ended(turn) or turn
        return turn

    async def request_cancel(self, turn: Turn) -> None:
        """Request the cancellation of a turn on any replica."""
        self._supervisor.stop(turn.id, "cancelled")
        await self._store.request_cancel(turn.id)
        await self._readers.publish_cancellation(turn.id)

    async def hide_response(self, turn: Turn) -> None:
        """Hide a turn from the Responses API."""
        await self._store.hide_response(turn.id)

    async def abandon(self, turn: Turn, *, resumable: bool = True) -> None:
        """Cancel a turn whose client disconnected, unless it has other readers or they cannot be determined.

        ``resumable``: the gateway may continue the stream, so wait for its reader first.
        """
        if resumable and not await self._readers.has_readers(turn.id):
            await asyncio.sleep(self._abandon_delay)
        if not await self._readers.has_readers(turn.id):
            with contextlib.suppress(DependencyUnavailable):
                await self.request_cancel(turn)

    async def ended(self, turn: Turn) -> Turn | None:
        """Wait for the end of a turn; None if its end cannot be determined now; raises Erased if its user is erased."""
        if not turn.running:
            return turn
        found = await self._ended(turn)
        if found is None or found.status == "cancelled":
            with contextlib.suppress(DependencyUnavailable):
                if await self._store.is_erased(turn.user_id):
                    raise Erased
        return found

    async def _ended(self, turn: Turn) -> Turn | None:
        with contextlib.suppress(DependencyUnavailable):
            return await self._readers.ended(turn)
        return None
