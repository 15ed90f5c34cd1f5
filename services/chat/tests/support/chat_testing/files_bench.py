"""The app of chat with files in memory."""

from typing import Any
from uuid import UUID

import httpx2

from chat.admission.plans import ChatPlan
from chat.files.collector import FileCollector
from chat.files.service import FileService
from chat.files.text_extractor import TextExtractor
from chat.files.texts import FileTexts
from chat_testing.api import client_of
from chat_testing.bench import EngineBench
from chat_testing.files import InMemoryFileRows, InMemoryObjects
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
PLAN = ChatPlan(file_bytes=1000, storage_bytes=2000, file_count=3, tokens_per_minute=None)


class FilesBench:
    """The app with files in memory, and its users."""

    def __init__(
        self,
        *,
        offered: bool = True,
        engine: EngineBench | None = None,
        rows: InMemoryFileRows | None = None,
        extractor: TextExtractor | None = None,
    ) -> None:
        self.rows, self.objects = rows or InMemoryFileRows(), InMemoryObjects()
        self.texts = FileTexts(self.rows if offered else None, self.objects, extractor or TextExtractor())
        bench = ServiceBench(engine or EngineBench(), plan=PLAN, files=self.rows if offered else None, texts=self.texts)
        self.bench = bench
        self.collector = FileCollector(self.rows, self.objects)
        files = FileService(self.rows, self.objects) if offered else None
        self.http = client_of(bench, ISSUER, files)
        self.user_id = new_id()

    async def send(self, method: str, path: str, *, user: UUID | None = None, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {ISSUER.token(user or self.user_id)}", **options.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **options)

    async def upload(
        self, content: bytes, name: str = "a.txt", *, path: str = "/api/v1/files", **fields: str
    ) -> httpx2.Response:
        return await self.send("POST", path, files={"file": (name, content, "text/html")}, data=fields)

    async def uploaded(self, content: bytes, name: str = "plan.txt", *, user: UUID | None = None) -> UUID:
        """Upload a file and return its id."""
        made = await self.send("POST", "/api/v1/files", user=user, files={"file": (name, content)})
        assert made.status_code == 201, made.text
        return UUID(made.json()["id"])


def error_code(body: dict[str, Any]) -> str:
    """Return the code of an error in Parley's form or in that of ``/v1``."""
    return str(body.get("code") or body["error"]["code"])
