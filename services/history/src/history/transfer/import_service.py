"""Importing conversations: our own export and ChatGPT's; what cannot be imported is said, never guessed."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from history.changes.notifier import Changes
from history.conversations.schemas import Imported, ImportReport, Skipped
from history.conversations.store import Hint, Imports
from history.conversations.titles import shorten
from history.errors import IdempotencyKeyReused
from history.transfer.drafts import Draft
from history.transfer.formats import chatgpt, parley
from history.transfer.formats.tree import BrokenTree
from parley.errors import FieldError, InvalidJson, Overloaded, ValidationFailed
from parley.ids import new_id
from parley.web import problems as wire_problems

AT_ONCE = 2
"""Imports that one process works on; each may hold its whole file in memory."""
PATIENCE = 10.0
LONGEST_TITLE = 200
MOST_SKIPPED = 1000
"""Entries of ``skipped``; there is no end to what can be wrong with a file."""

MakeId = Callable[[int], UUID]


class ImportService:
    """Imports conversations."""

    def __init__(self, imports: Imports, changes: Changes, *, hint: Hint) -> None:
        """Take what stores them, who waits for news, and the relay's hint."""
        self._imports, self._changes, self._hint = imports, changes, hint
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(
        self, user_id: UUID, body: bytes, *, lines: bool, key: str | None = None
    ) -> tuple[ImportReport, bool]:
        """Import a file: JSON, or (``lines``) an object a line; also says whether ``key`` found it all imported before.

        Raises InvalidJson, ValidationFailed, IdempotencyKeyReused or Overloaded.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._slots.acquire()
        except TimeoutError:
            raise Overloaded("Other imports are running.") from None
        try:
            found = entries(body, lines=lines)
            make_id = await self._ids(user_id, key, body) if key else _new_id
            return await self._import(user_id, found, make_id)
        finally:
            self._slots.release()

    async def _ids(self, user_id: UUID, key: str, body: bytes) -> MakeId:
        digest = hashlib.sha256(body).digest()
        if not await self._imports.claim(user_id, key, digest):
            raise IdempotencyKeyReused
        seed = hashlib.sha256(b"\0".join((user_id.bytes, key.encode(), digest))).digest()
        return lambda index: UUID(bytes=hashlib.sha256(seed + index.to_bytes(8)).digest()[:16], version=4)

    async def _import(self, user_id: UUID, found: Iterator[Any], make_id: MakeId) -> tuple[ImportReport, bool]:
        report, made = ImportReport(imported=[], skipped=[]), 0
        for index, entry in enumerate(found):
            # Reading is work for the processor, and the loop serves others meanwhile.
            draft, skipped = await asyncio.to_thread(read, index, entry)
            report.skipped.extend(skipped[: MOST_SKIPPED - len(report.skipped)])
            if draft is not None:
                conversation_id = make_id(index)
                title, new = await self._imports.store(user_id, draft, conversation_id)
                made += new
                report.imported.append(_imported(index, conversation_id, title, draft))
        self._hint()
        self._changes.feed_grew(user_id)
        return report, bool(report.imported) and not made


def entries(body: bytes, *, lines: bool) -> Iterator[Any]:
    """Return the conversations of a file; raises InvalidJson or ValidationFailed."""
    try:
        found = [orjson.loads(line) for line in body.splitlines() if line.strip()] if lines else orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidJson from None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise ValidationFailed([FieldError("", "invalid_type", "Must be a conversation or an array of them.")])
    return iter(found)


def read(index: int, entry: Any) -> tuple[Draft | None, list[Skipped]]:
    """Return the draft of one conversation, None when nothing of it can be imported, and what was left out."""
    notes: list[Skipped] = []
    try:
        draft = _draft(index, entry, notes)
    except ValidationError as error:
        found = wire_problems.from_validation(error.errors()).errors
        notes.extend(Skipped(index=index, pointer=f"/{index}{e.pointer}", code=e.code, detail=e.detail) for e in found)
        return None, notes
    except BrokenTree:
        notes.append(_skipped(index, "", "broken_tree", "Two messages share an id, or their parents go in a circle."))
        return None, notes
    if draft is None:
        notes.append(_skipped(index, "", "unknown_format", "This is no conversation of a known format."))
    elif not draft.messages:
        notes.append(_skipped(index, "", "empty", "There is no message to import."))
    else:
        return replace(draft, title=shorten(draft.title, LONGEST_TITLE) if draft.title else None), notes
    return None, notes


def _draft(index: int, entry: Any, notes: list[Skipped]) -> Draft | None:
    if not isinstance(entry, dict):
        return None
    if "mapping" in entry:
        draft, found = chatgpt.read(chatgpt.Export.model_validate(entry))
        notes.extend(_skipped(index, f"/mapping/{_escaped(p.node)}", p.code, p.detail) for p in found)
        return draft
    if "format" in entry:
        return parley.read(parley.OwnExport.model_validate(entry))
    return None


def _new_id(_index: int) -> UUID:
    return new_id()


def _imported(index: int, conversation_id: UUID, title: str | None, draft: Draft) -> Imported:
    return Imported(index=index, conversation_id=conversation_id, title=title, messages=len(draft.messages))


def _skipped(index: int, pointer: str, code: str, detail: str) -> Skipped:
    return Skipped(index=index, pointer=f"/{index}{pointer}", code=code, detail=detail)


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")
