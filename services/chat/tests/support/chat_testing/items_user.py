"""A user of conversations, their items and responses, on in-memory stores."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson

from chat_testing.api import open_api
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "Sun"}


class ItemsUser:
    """A user of conversations and responses."""

    def __init__(self, http: httpx2.AsyncClient, bench: ServiceBench) -> None:
        self.http, self._bench = http, bench
        self.headers = {"Authorization": f"Bearer {ISSUER.token(new_id())}"}

    async def send(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        headers = {**self.headers, **options.pop("headers", {})}
        response = await self.http.request(method, f"/v1/{path}", headers=headers, **options)
        assert response.status_code == status, response.text
        return orjson.loads(response.content)

    async def conversation(self, *items: Any) -> str:
        made = await self.send("POST", "conversations", json={"items": list(items)})
        return str(made["id"])

    async def insert(self, conversation: str, *items: Any, status: int = 200, **options: Any) -> Any:
        path = f"conversations/{conversation}/items"
        return await self.send("POST", path, status, json={"items": list(items)}, **options)

    async def items(self, conversation: str) -> list[Any]:
        listed = await self.send("GET", f"conversations/{conversation}/items?order=asc&limit=100")
        found: list[Any] = listed["data"]
        return found

    async def delete(self, conversation: str, item: str, status: int = 200) -> Any:
        return await self.send("DELETE", f"conversations/{conversation}/items/{item}", status)

    async def ask(self, conversation: str, text: str = "And now?") -> list[dict[str, Any]]:
        """Create a response, and return the messages that its model was sent."""
        await self.send("POST", "responses", json={"model": "default", "input": text, "conversation": conversation})
        return [dict(message) for message in self._bench.engine.generator.prompts[-1].messages]


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


@contextlib.asynccontextmanager
async def open_items_user(bench: ServiceBench) -> AsyncIterator[ItemsUser]:
    """Open a user of the app on the services of a bench."""
    async with open_api(bench, ISSUER) as http:
        yield ItemsUser(http, bench)
