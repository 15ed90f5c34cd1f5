"""HTTP client of the history service."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import orjson

from chat.errors import HistoryUnavailable
from chat.history import (
    ConversationOwner,
    CreatedConversation,
    DeletedConversation,
    PastBranch,
    RegenerationSource,
    StoredTurn,
)
from chat.settings import ChatSettings
from chat.storage.history_messages import exchanges_of, regeneration_source_of
from parley.errors import DependencyUnavailable
from parley.observability.tracing import Tracer
from parley.process.timeouts import lag_tolerant_timeout
from parley.security.service_tokens import ServiceTokenProvider
from parley.web.http_client import open_client

HISTORY_TIMEOUT = 5.0
OWNER_TIMEOUT = 2.0
CONTEXT_TIMEOUT = 0.3
BRANCH_TIMEOUT = 1.0
"""Seconds to wait for the chosen branch; afterwards a message follows the newest answer."""
MAX_MESSAGES = 2_000
"""Messages of a branch that are read for a prompt."""
MAX_EXCHANGE_MESSAGES = 500
"""Messages between an answer that is generated again and its user message."""
MAX_CHARACTERS = 4_000_000
"""Characters of a branch that are read for a prompt, if the model's context window holds as many."""


class HistoryClient:
    """Client of history's internal routes, with a service token."""

    def __init__(self, client: httpx2.AsyncClient, tokens: ServiceTokenProvider) -> None:
        self._client, self._tokens = client, tokens

    async def owner(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the owner of a conversation, or None if it does not exist; raises HistoryUnavailable."""
        return await self._owner_within(conversation_id, OWNER_TIMEOUT)

    async def chosen_branch(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the same as ``owner``, within a shorter time; raises HistoryUnavailable."""
        return await self._owner_within(conversation_id, BRANCH_TIMEOUT)

    async def _owner_within(self, conversation_id: UUID, seconds: float) -> ConversationOwner | None:
        with _translate_errors():
            async with lag_tolerant_timeout(seconds):
                found = await self._get(f"/internal/conversations/{conversation_id}/owner")
            return _owner(found) if found is not None else None

    async def create(
        self, conversation_id: UUID, user_id: UUID, metadata: dict[str, str] | None = None
    ) -> CreatedConversation | None:
        """Create a conversation or return the existing one; raises HistoryUnavailable."""
        with _translate_errors():
            async with lag_tolerant_timeout(OWNER_TIMEOUT):
                body = {"user_id": str(user_id), **({"metadata": metadata} if metadata else {})}
                response = await self._request("PUT", f"/internal/conversations/{conversation_id}", json=body)
            if response is None:
                return None
            new = response.status_code == httpx2.codes.CREATED
            return CreatedConversation(new, response.content, response.headers["etag"])

    async def known_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return the turns that history has stored, out of at most 1,000; raises HistoryUnavailable."""
        answer = await self._post_turn_ids("/internal/turns/known", turn_ids)
        return {UUID(turn_id) for turn_id in answer["known"]}

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[DeletedConversation]:
        """Return up to ``limit`` deletions, oldest first; raises HistoryUnavailable."""
        query = {"limit": str(limit)}
        if after is not None:
            query |= {"deleted_at": after[0].isoformat(), "conversation_id": str(after[1])}
        with _translate_errors():
            found = await self._get("/internal/conversations/deleted", query)
            if found is None:  # a history of the previous version
                raise HistoryUnavailable
            return [
                DeletedConversation(
                    UUID(each["conversation_id"]), UUID(each["user_id"]), datetime.fromisoformat(each["deleted_at"])
                )
                for each in found["deletions"]
            ]

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, StoredTurn]:
        """Return the stored status and digest of at most 1,000 turns; raises HistoryUnavailable."""
        answer = await self._post_turn_ids("/internal/turns/digests", turn_ids)
        return {UUID(turn_id): StoredTurn(**found) for turn_id, found in answer["digests"].items()}

    async def exchanges(self, conversation_id: UUID, message_id: UUID, user_id: UUID, *, characters: int) -> PastBranch:
        """Return the exchanges that end in an answer, of at most ``characters``; raises HistoryUnavailable."""
        with _translate_errors():
            async with lag_tolerant_timeout(CONTEXT_TIMEOUT):
                found = await self._branch(conversation_id, message_id, user_id, characters, MAX_MESSAGES)
                return PastBranch(
                    exchanges_of(found["messages"]), bool(found["more"]), has_messages=bool(found["messages"])
                )

    async def regeneration_source(
        self, conversation_id: UUID, message_id: UUID, user_id: UUID
    ) -> RegenerationSource | None:
        """Return the user message behind an answer, or None if the answer does not exist; raises HistoryUnavailable."""
        with _translate_errors():
            async with lag_tolerant_timeout(OWNER_TIMEOUT):
                found = await self._branch(conversation_id, message_id, user_id, MAX_CHARACTERS, MAX_EXCHANGE_MESSAGES)
                return regeneration_source_of(found["messages"])

    async def _branch(
        self, conversation_id: UUID, leaf: UUID, user_id: UUID, characters: int, limit: int
    ) -> dict[str, Any]:
        query = {
            "leaf": str(leaf),
            "user_id": str(user_id),
            "characters": str(max(0, min(characters, MAX_CHARACTERS))),
            "limit": str(limit),
        }
        found: dict[str, Any] | None = await self._get(f"/internal/conversations/{conversation_id}/branch", query)
        if found is None:  # a history of the previous version
            raise HistoryUnavailable
        return found

    async def _get(self, path: str, query: dict[str, str] | None = None) -> Any:
        response = await self._request("GET", path, params=query)
        return orjson.loads(response.content) if response is not None else None

    async def _post_turn_ids(self, path: str, turn_ids: Collection[UUID]) -> dict[str, Any]:
        with _translate_errors():
            response = await self._request("POST", path, json={"turn_ids": [str(turn_id) for turn_id in turn_ids]})
            if response is None:
                raise HistoryUnavailable
            answer: dict[str, Any] = orjson.loads(response.content)
            return answer

    async def _request(self, method: str, path: str, **content: Any) -> httpx2.Response | None:
        """Return the response, or None for 404."""
        token = await self._tokens.get()
        response = await self._client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **content)
        if response.status_code == httpx2.codes.NOT_FOUND:
            return None
        if response.status_code == httpx2.codes.UNAUTHORIZED:
            self._tokens.invalidate()
        response.raise_for_status()
        return response


def _owner(found: dict[str, Any]) -> ConversationOwner:
    latest, chosen, chosen_at = found["latest_answer_id"], found.get("chosen_answer_id"), found.get("chosen_at")
    return ConversationOwner(
        UUID(found["user_id"]),
        bool(found["deleted"]),
        int(found["last_number"]),
        UUID(latest) if latest else None,
        UUID(chosen) if chosen else None,
        datetime.fromisoformat(chosen_at) if chosen_at else None,
    )


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, TimeoutError, ValueError, KeyError, TypeError, DependencyUnavailable) as error:
        raise HistoryUnavailable from error


@contextlib.asynccontextmanager
async def open_history(settings: ChatSettings, tracer: Tracer | None = None) -> AsyncIterator[HistoryClient]:
    """Open the client of the history service."""
    async with open_client(settings.history_url, read_timeout=HISTORY_TIMEOUT, tracer=tracer) as client:
        tokens = ServiceTokenProvider(
            client, auth_url=settings.auth_url, service="chat", secret=settings.internal_client_secret
        )
        yield HistoryClient(client, tokens)
