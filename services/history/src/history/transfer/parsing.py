"""Parsing of import files into conversation drafts."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from history.conversations.titles import shorten
from history.transfer.drafts import ConversationDraft
from history.transfer.formats import chatgpt, parley
from history.transfer.formats.message_order import InvalidMessageTree
from history.transfer.schemas import Skipped
from parley.errors import FieldError, InvalidJson, ValidationFailed
from parley.web import problems as wire_problems

MAX_TITLE_LENGTH = 200
"""Characters of an imported title."""


def split_file(body: bytes, *, lines: bool) -> Iterator[Any]:
    """Return the entries of a JSON or (``lines``) NDJSON file; raises InvalidJson or ValidationFailed."""
    try:
        found = [orjson.loads(line) for line in body.splitlines() if line.strip()] if lines else orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidJson from None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise ValidationFailed([FieldError("", "invalid_type", "Must be a conversation or an array of conversations.")])
    return iter(found)


def parse_entry(index: int, entry: Any) -> tuple[ConversationDraft | None, list[Skipped]]:
    """Return the draft of one entry, or None when it cannot be imported, and the parts to skip."""
    skipped: list[Skipped] = []
    try:
        draft = _draft(index, entry, skipped)
    except ValidationError as error:
        found = wire_problems.from_validation(error.errors()).errors
        skipped.extend(
            Skipped(index=index, pointer=f"/{index}{e.pointer}", code=e.code, detail=e.detail) for e in found
        )
        return None, skipped
    except InvalidMessageTree:
        skipped.append(_skipped(index, "", "broken_tree", "Two messages share an id, or their parents form a cycle."))
        return None, skipped
    if draft is None:
        skipped.append(_skipped(index, "", "unknown_format", "The entry is not in a known export format."))
    elif not draft.messages:
        skipped.append(_skipped(index, "", "empty", "The conversation has no message that can be imported."))
    else:
        return replace(draft, title=shorten(draft.title, MAX_TITLE_LENGTH) if draft.title else None), skipped
    return None, skipped


def _draft(index: int, entry: Any, skipped: list[Skipped]) -> ConversationDraft | None:
    if not isinstance(entry, dict):
        return None
    if "mapping" in entry:
        draft, unsupported = chatgpt.read(chatgpt.ChatGptConversation.model_validate(entry))
        skipped.extend(_skipped(index, f"/mapping/{_escaped(p.node)}", p.code, p.detail) for p in unsupported)
        return draft
    if "format" in entry:
        return parley.read(parley.ParleyExport.model_validate(entry))
    return None


def _skipped(index: int, pointer: str, code: str, detail: str) -> Skipped:
    return Skipped(index=index, pointer=f"/{index}{pointer}", code=code, detail=detail)


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")
