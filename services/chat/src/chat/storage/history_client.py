"""HTTP client of the history service."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2

from chat.errors import HistoryUnavailable
from chat.history import ConversationOwner, RegenerationSource, StoredTurn
from chat.model import PastExchange
from parley.errors import DependencyUnavailable
from parley.security.service_tokens import ServiceTokenProvider

OWNER_TIMEOUT = 2.0
CONTEXT_TIMEOUT = 0.3
PAGE_SIZE = 100
MAX_PAGES = 10


class HistoryClient:
    """Client of history's internal routes, with a service token, and of its public routes, with the caller's token."""

    def __init__(self, client: httpx2.AsyncClient, tokens: ServiceTokenProvider) -> None:
        self._client, self._tokens = client, tokens

    async def owner(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the owner of a conversation, or None if it does not exist; raises HistoryUnavailable."""
        with _translate_errors():
            async with asyncio.timeout(OWNER_TIMEOUT):
                token = await self._tokens.get()
                found = await _get(self._client, f"/internal/conversations/{conversation_id}/owner", token)
            if found is None:
                return None
            return ConversationOwner(UUID(found["user_id"]), bool(found["deleted"]), int(found.get("last_number") or 0))

    async def known_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return the turns that history has stored, out of at most 1,000; raises HistoryUnavailable."""
        answer = await self._post_turn_ids("/internal/turns/known", turn_ids)
        return {UUID(turn_id) for turn_id in answer["known"]}

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, StoredTurn]:
        """Return the stored status and digest of at most 1,000 turns; raises HistoryUnavailable."""
        answer = await self._post_turn_ids("/internal/turns/digests", turn_ids)
        return {UUID(turn_id): StoredTurn(**found) for turn_id, found in answer["digests"].items()}

    async def latest_answer(self, conversation_id: UUID, token: str) -> UUID | None:
        """Return the newest answer of a conversation; raises HistoryUnavailable."""
        with _translate_errors():
            async with asyncio.timeout(OWNER_TIMEOUT):
                async with contextlib.aclosing(self._newest_first(conversation_id, token)) as messages:
                    async for message in messages:
                        if message["role"] == "assistant" and (message["content"] or message["tool_calls"]):
                            return UUID(message["id"])
        return None

    async def exchanges(self, conversation_id: UUID, message_id: UUID, token: str) -> list[PastExchange]:
        """Return the exchanges from an answer back to the root, newest first; raises HistoryUnavailable."""
        with _translate_errors():
            async with asyncio.timeout(CONTEXT_TIMEOUT):
                return await self._walk(conversation_id, message_id, token)

    async def regeneration_source(
        self, conversation_id: UUID, message_id: UUID, token: str
    ) -> RegenerationSource | None:
        """Return the user message behind an answer, or None if the answer does not exist; raises HistoryUnavailable."""
        with _translate_errors():
            async with asyncio.timeout(OWNER_TIMEOUT):
                seen: dict[UUID, dict[str, Any]] = {}
                async with contextlib.aclosing(self._newest_first(conversation_id, token)) as messages:
                    async for message in messages:
                        seen[UUID(message["id"])] = message
                        user_message = _user_message_of(seen, message_id)
                        if user_message is not None:
                            return _regeneration_source(user_message)
        return None

    async def _walk(self, conversation_id: UUID, message_id: UUID, token: str) -> list[PastExchange]:
        seen: dict[UUID, dict[str, Any]] = {}
        chain: list[PastExchange] = []
        wanted: UUID | None = message_id
        async with contextlib.aclosing(self._newest_first(conversation_id, token)) as messages:
            async for message in messages:
                seen[UUID(message["id"])] = message
                while wanted is not None and (user_message := _user_message_of(seen, wanted)) is not None:
                    parent, answer = _parent(user_message), seen[wanted]
                    chain.append(
                        PastExchange(wanted, parent, user_message["content"], answer["content"], answer["tool_calls"])
                    )
                    wanted = parent
                if wanted is None:
                    break
        return chain

    async def _newest_first(self, conversation_id: UUID, token: str) -> AsyncGenerator[dict[str, Any], None]:
        path, cursor = f"/api/v1/conversations/{conversation_id}/messages", None
        for _ in range(MAX_PAGES):
            query = {"order": "desc", "tree": "true", "limit": str(PAGE_SIZE), **({"cursor": cursor} if cursor else {})}
            page = await _get(self._client, path, token, query)
            if page is None:
                return
            for message in page["data"]:
                yield message
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def _post_turn_ids(self, path: str, turn_ids: Collection[UUID]) -> dict[str, Any]:
        with _translate_errors():
            token = await self._tokens.get()
            response = await self._client.post(
                path,
                json={"turn_ids": [str(turn_id) for turn_id in turn_ids]},
                headers={"Authorization": f"Bearer {token}"},
            )
            if response.status_code == httpx2.codes.UNAUTHORIZED:
                self._tokens.invalidate()
            response.raise_for_status()
            answer: dict[str, Any] = response.json()
            return answer


def _user_message_of(seen: dict[UUID, dict[str, Any]], answer_id: UUID) -> dict[str, Any] | None:
    answer = seen.get(answer_id)
    parent = _parent(answer) if answer else None
    return seen.get(parent) if parent else None


def _parent(message: dict[str, Any]) -> UUID | None:
    return UUID(message["parent_id"]) if message["parent_id"] else None


def _regeneration_source(user_message: dict[str, Any]) -> RegenerationSource:
    moment = datetime.fromisoformat(user_message["created_at"])
    return RegenerationSource(_parent(user_message), UUID(user_message["id"]), user_message["content"], moment)


async def _get(client: httpx2.AsyncClient, path: str, token: str, query: dict[str, str] | None = None) -> Any:
    response = await client.get(path, params=query, headers={"Authorization": f"Bearer {token}"})
    if response.status_code == httpx2.codes.NOT_FOUND:
        return None
    response.raise_for_status()
    return response.json()


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, TimeoutError, ValueError, KeyError, TypeError, DependencyUnavailable) as error:
        raise HistoryUnavailable from error
