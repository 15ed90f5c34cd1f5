"""Requests with files in every protocol, and the prompts that models get."""

import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from chat.file_errors import FileEncrypted
from chat.file_references import openai_id
from chat.files.text_extractor import TextExtractor
from chat_testing.bench import EngineBench
from chat_testing.files_bench import FilesBench
from chat_testing.generator import answer_of
from chat_testing.turns import MODEL, SEES, make_catalogue
from parley.ids import new_id

UI_PATH = "/api/v1/chat/ui"
PDF = b"%PDF-1.7 of the test"
CATALOGUE = make_catalogue(
    MODEL,
    replace(MODEL, alias="small", context_window=500),
    replace(MODEL, alias="large", context_window=300_000),
    replace(SEES, alias="sees"),
)


class FakeExtractor(TextExtractor):
    """Returns what follows the signature of a PDF, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def extract(self, user_id: UUID, pdf: AsyncIterator[bytes], filename: str) -> str:
        self.count += 1
        data = b"".join([piece async for piece in pdf])
        if b"password" in data:
            raise FileEncrypted(filename)
        return data.removeprefix(b"%PDF-1.7 ").decode()


class PromptBench(FilesBench):
    """The app with files in memory, four models, and the prompts that they got."""

    def __init__(self) -> None:
        self.extractor = FakeExtractor()
        engine = EngineBench(catalogue=CATALOGUE)
        super().__init__(engine=engine, extractor=self.extractor)
        engine.generator.chunks = answer_of("It is a plan.")

    async def ask(self, *files: UUID, message: str = "What is it?", **members: Any) -> dict[str, Any]:
        body = {"message": message, "files": [str(file_id) for file_id in files], **members}
        answer = await self.send("POST", "/api/v1/chat", json=body)
        return {**answer.json(), "code": answer.json().get("code", answer.status_code)}

    def asked(self, position: int = -1) -> Any:
        """Return the content of the last message of a prompt, the newest by default."""
        return self.bench.engine.generator.prompts[position].messages[-1]["content"]


def data_url(data: bytes, media_type: str = "application/pdf") -> str:
    """Return the data of a file as the protocols of OpenAI take it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def question_with(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request: one of the user, with a text and other parts."""
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


def requests_with_file(file_id: UUID) -> Sequence[tuple[str, dict[str, Any]]]:
    """Return a request for every protocol that names a file."""
    named = openai_id(file_id)
    ask = {"model": "default"}
    given = [{"type": "input_text", "text": "What is it?"}, {"type": "input_file", "file_id": named}]
    document = {"type": "document", "source": {"type": "file", "file_id": named}}
    return [
        ("/api/v1/chat", {**ask, "message": "What is it?", "files": [str(file_id)]}),
        ("/v1/chat/completions", {**ask, "messages": question_with({"type": "file", "file": {"file_id": named}})}),
        ("/v1/responses", {**ask, "input": [{"role": "user", "content": given}]}),
        ("/v1/messages", {**ask, "max_tokens": 9, "messages": question_with(document)}),
        (UI_PATH, {**ask, "id": str(new_id()), **ui_question_with(url=f"/api/v1/files/{file_id}/content")}),
    ]


def ui_question_with(**file: str) -> dict[str, Any]:
    """Return the messages of ``useChat``: one of the user, with a text and a file."""
    given = {"type": "file", "mediaType": "application/octet-stream", **file}
    return {"messages": [{"role": "user", "parts": [{"type": "text", "text": "What is it?"}, given]}]}


def requests_with_data(data: bytes, name: str | None = "plan.pdf") -> Sequence[tuple[str, dict[str, Any]]]:
    """Return a request with the data of a file for every protocol that takes it."""
    ask = {"model": "default"}
    filename = {"filename": name} if name else {}
    file = {"file_data": data_url(data), **filename}
    given = [{"type": "input_text", "text": "What is it?"}, {"type": "input_file", **file}]
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
    document = {"type": "document", "source": source, **({"title": name} if name else {})}
    return [
        ("/v1/chat/completions", {**ask, "messages": question_with({"type": "file", "file": file})}),
        ("/v1/responses", {**ask, "input": [{"role": "user", "content": given}]}),
        ("/v1/messages", {**ask, "max_tokens": 9, "messages": question_with(document)}),
        (UI_PATH, {**ask, "id": str(new_id()), **ui_question_with(url=data_url(data), **filename)}),
    ]
