"""A user who reads each answer back from history, beside the load of a benchmark of turns."""

import asyncio
import time
from typing import Any

from turn_clients import ResponseTimes  # type: ignore[import-not-found]

from parley_testing.http.client import UserClient

INTERVAL = 0.2
"""Seconds between two questions: few beside those of the load."""


class TurnReader:
    """Asks a question, then reads its conversation with ``wait_for``, again and again."""

    def __init__(self, user: UserClient, question: str) -> None:
        self._user, self._question = user, question
        self.asked = 0
        self.reads = ResponseTimes()

    async def run(self, seconds: float) -> None:
        """Ask and read for a number of seconds."""
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            await asyncio.sleep(INTERVAL)
            response = await self._user.request("POST", "/api/v1/chat", json={"message": self._question})
            if response.status_code == 200:  # refusals are judged by the load, which meets as many
                self.asked += 1
                await self._read(response.json())
        self.reads.seconds = time.perf_counter() - began

    async def _read(self, answer: dict[str, Any]) -> None:
        path = f"/api/v1/conversations/{answer['conversation_id']}/messages"
        began = time.perf_counter()
        response = await self._user.request("GET", path, params={"wait_for": answer["turn_id"]})
        took = time.perf_counter() - began
        if response.status_code != 200:
            self.reads.refusals.add(response.status_code)
        elif answer["message_id"] not in [message["id"] for message in response.json()["data"]]:
            self.reads.refusals.add("without the answer")
        else:
            self.reads.took.append(took)
