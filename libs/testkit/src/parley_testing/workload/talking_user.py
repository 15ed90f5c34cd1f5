"""Users who go on talking while servers and processes break."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from parley.ids import new_id
from parley_testing.http.client import UserClient

RETRY_DELAY = 0.3


@dataclass
class TalkingUser:
    """Continues one conversation; repeats a turn under its idempotency key until it is answered."""

    user: UserClient
    gateways: Sequence[httpx2.AsyncClient]
    message: str
    turn_timeout: float
    """Maximum seconds until a turn is answered, all attempts together."""
    conversation: str | None = None
    answered: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    async def talk(self, over: asyncio.Event) -> None:
        """Take one turn after the other until ``over`` is set."""
        while not over.is_set():
            await self.turn()

    async def turn(self) -> None:
        """Take one turn."""
        body = {"message": self.message, **({"conversation_id": self.conversation} if self.conversation else {})}
        key = str(new_id())
        async with asyncio.timeout(self.turn_timeout):
            while (answer := await self._try(body, key)) is None:
                await asyncio.sleep(RETRY_DELAY)
        self.conversation = answer["conversation_id"]
        self.answered.append(answer["turn_id"])

    async def _try(self, body: dict[str, Any], key: str) -> dict[str, Any] | None:
        attempts = len(self.answered) + self.refused.total()
        user = replace(self.user, http=self.gateways[attempts % len(self.gateways)])
        try:
            response = await user.request("POST", "/api/v1/chat", json=body, headers={"Idempotency-Key": key})
        except httpx2.TransportError as error:
            self.refused[type(error).__name__] += 1
            return None
        if response.status_code != httpx2.codes.OK:
            assert response.status_code >= 500 or response.status_code in {409, 429}, response.text
            self.refused[f"{response.json()['code']}: {response.json()['detail']}"] += 1
            return None
        found: dict[str, Any] = response.json()
        return found
