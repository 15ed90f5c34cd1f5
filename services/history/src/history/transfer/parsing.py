"""Parsing of import files into conversation drafts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import ValidationError

from history.conversations.titles import shorten
from history.transfer.drafts import ConversationDraft
from history.transfer.entry_scanner import EntryScanner, RawEntry
from history.transfer.formats import chatgpt, parley
from history.transfer.formats.message_order import InvalidConversation
from history.transfer.schemas import MAX_SKIPPED, Skipped
from history.transfer.upload import Upload
from parley.errors import FieldError, InvalidJson, ValidationFailed
from parley.web import problems as wire_problems

STEPS_PER_JOB = 50
"""Steps of a file that are taken before the import looks whether it must stop."""
MAX_TITLE_LENGTH = 200
"""Characters of an imported title."""


@dataclass(frozen=True, slots=True)
class ParsedEntry:
    """One entry of a file: its draft, or None when it cannot be imported, and the parts to skip."""

    index: int
    draft: ConversationDraft | None
    skipped: list[Skipped]


def check_syntax(upload: Upload, *, lines: bool) -> Iterator[None]:
    """Check that a file is JSON within the bounds, in steps; raises InvalidJson or ValidationFailed.

    Each entry is parsed and dropped, so that a file with an error is refused before anything of it is stored.
    """
    for found in _scan(upload, lines=lines):
        for entry, array in found:
            value = _load(entry)
            if not (lines or array or entry.problem or isinstance(value, dict)):
                detail = "Must be a conversation or an array of conversations."
                raise ValidationFailed([FieldError("", "invalid_type", detail)])
        yield


def parse_file(upload: Upload, *, lines: bool) -> Iterator[ParsedEntry | None]:
    """Yield the entries of a checked file, and None where a part of the file has no entry that ends in it."""
    for found in _scan(upload, lines=lines):
        yield None
        for entry, _ in found:
            yield parse_entry(entry)


def take(steps: Iterator[ParsedEntry | None]) -> tuple[list[ParsedEntry], bool]:
    """Take up to ``STEPS_PER_JOB`` steps, or up to the first draft; return their entries, and whether more follow."""
    found: list[ParsedEntry] = []
    for _ in range(STEPS_PER_JOB):
        try:
            entry = next(steps)
        except StopIteration:
            return found, False
        if entry is not None:
            found.append(entry)
            if entry.draft is not None:
                break
    return found, True


def _scan(upload: Upload, *, lines: bool) -> Iterator[Iterator[tuple[RawEntry, bool]]]:
    scanner = EntryScanner(lines=lines)
    for chunk in upload.chunks():
        yield ((entry, scanner.array) for entry in scanner.feed(chunk))
    yield ((entry, scanner.array) for entry in scanner.finish())


def _load(entry: RawEntry) -> Any:
    if entry.problem:
        return None
    try:
        return orjson.loads(entry.text)
    except orjson.JSONDecodeError:
        raise InvalidJson from None


def parse_entry(entry: RawEntry) -> ParsedEntry:
    """Return the draft of one entry, or the reasons why it cannot be imported."""
    index = entry.index
    if entry.problem:
        return ParsedEntry(index, None, [_skipped(index, "", *entry.problem)])
    skipped: list[Skipped] = []
    try:
        draft = _draft(index, _load(entry), skipped)
    except ValidationError as error:
        return ParsedEntry(index, None, _invalid(index, "", error))
    except parley.InvalidMessages as error:
        found = [one for number, e in error.found for one in _invalid(index, f"/messages/{number}", e)]
        return ParsedEntry(index, None, found)
    except InvalidConversation as error:
        return ParsedEntry(index, None, [*skipped, _skipped(index, "", error.code, error.detail)])
    reason = _refusal(draft)
    if reason is not None:
        return ParsedEntry(index, None, [*skipped, _skipped(index, "", *reason)])
    assert draft is not None
    title = shorten(draft.title, MAX_TITLE_LENGTH) if draft.title else None
    return ParsedEntry(index, replace(draft, title=title), skipped)


def _refusal(draft: ConversationDraft | None) -> tuple[str, str] | None:
    if draft is None:
        return "unknown_format", "The entry is not in a known export format."
    if not draft.messages:
        return "empty", "The conversation has no message that can be imported."
    return None


def _invalid(index: int, pointer: str, error: ValidationError) -> list[Skipped]:
    if error.error_count() > MAX_SKIPPED:
        return [_skipped(index, pointer, "too_many_errors", f"{error.error_count():,} values are invalid.")]
    found = wire_problems.from_validation(error.errors(include_url=False, include_input=False)).errors
    return [_skipped(index, pointer + e.pointer, e.code, e.detail) for e in found]


def _draft(index: int, entry: Any, skipped: list[Skipped]) -> ConversationDraft | None:
    if not isinstance(entry, dict):
        return None
    if "mapping" in entry:
        draft, unsupported = chatgpt.read(chatgpt.ChatGptConversation.model_validate(entry))
        skipped.extend(
            _skipped(index, f"/mapping/{_escaped(p.node)}", p.code, p.detail) for p in unsupported[:MAX_SKIPPED]
        )
        return draft
    if "format" in entry:
        return parley.read(parley.ParleyExport.model_validate(entry))
    return None


def _skipped(index: int, pointer: str, code: str, detail: str) -> Skipped:
    return Skipped(index=index, pointer=f"/{index}{pointer}", code=code, detail=detail)


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")
