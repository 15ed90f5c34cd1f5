"""Parsing of import files into conversation drafts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from history.conversations.titles import shorten
from history.transfer.drafts import ConversationDraft, SkippedPart
from history.transfer.entry_scanner import EntryScanner, RawEntry
from history.transfer.formats import chatgpt, claude, parley
from history.transfer.formats.lenient import invalid_parts
from history.transfer.formats.message_order import InvalidConversation
from history.transfer.json_loading import REPAIRED_DETAIL, LoadedJson, load
from history.transfer.schemas import MAX_SKIPPED, Skipped
from history.transfer.upload import Upload
from parley.errors import InvalidJson, ValidationFailed
from parley.field_errors import FieldError

STEPS_PER_JOB = 50
"""Steps of a file that are taken before the import looks whether it must stop."""
MAX_TITLE_LENGTH = 200
"""Characters of an imported title."""
UNKNOWN_FORMAT = SkippedPart("", "unknown_format", "The entry is not in a known export format.")
EMPTY = SkippedPart("", "empty", "The conversation has no message that can be imported.")


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """A format of import files."""

    name: str
    recognises: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any]], tuple[ConversationDraft, list[SkippedPart]]]


FORMATS = tuple(ImportFormat(module.NAME, module.recognises, module.read) for module in (parley, chatgpt, claude))


@dataclass(frozen=True, slots=True)
class ParsedEntry:
    """One entry of a file: its length in bytes, its draft (None when it cannot be imported), and the parts to skip."""

    index: int
    length: int
    draft: ConversationDraft | None
    skipped: list[Skipped]


def check_format(upload: Upload, *, lines: bool) -> Iterator[None]:
    """Check that a file is within the bounds and has an entry in a known format, in steps.

    Raises ValidationFailed or InvalidJson before anything of the file is stored. Entries are parsed until the format is
    known.
    """
    known = parsed = count = 0
    for entries in _scan(upload, lines=lines):
        for entry in entries:
            count += 1
            if known:
                continue
            loaded, _ = _load(entry)
            parsed += loaded is not None
            known += _is_beyond_a_bound(entry) or (loaded is not None and _format(loaded.value) is not None)
            if loaded:
                loaded.release()
        yield
    if count and not parsed and not known:
        raise InvalidJson
    if count and not known:
        raise ValidationFailed([FieldError("", "unknown_format", f"Must be one of: {_names()}.")])


def parse_file(upload: Upload, *, lines: bool) -> Iterator[ParsedEntry | None]:
    """Yield the entries of a checked file, and None where a part of the file has no entry that ends in it."""
    for entries in _scan(upload, lines=lines):
        yield None
        for entry in entries:
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


def parse_entry(entry: RawEntry) -> ParsedEntry:
    """Return the draft of one entry, and what of it cannot be imported."""
    loaded, reason = _load(entry)
    draft, skipped = _draft(loaded.value) if loaded else (None, [])
    if loaded:
        loaded.release()
    if reason:
        skipped = [reason, *skipped]
    if draft is not None and not draft.messages and not draft.empty:
        draft, skipped = None, [*skipped, EMPTY]
    if draft is not None and draft.title:
        draft = replace(draft, title=shorten(draft.title, MAX_TITLE_LENGTH))
    pointers = [
        Skipped(index=entry.index, pointer=f"/{entry.index}{one.pointer}", code=one.code, detail=one.detail)
        for one in skipped[:MAX_SKIPPED]
    ]
    return ParsedEntry(entry.index, len(entry.text), draft, pointers)


def _scan(upload: Upload, *, lines: bool) -> Iterator[Iterator[RawEntry]]:
    scanner = EntryScanner(lines=lines)
    for chunk in upload.chunks():
        yield scanner.feed(chunk)
    yield scanner.finish()


def _load(entry: RawEntry) -> tuple[LoadedJson | None, SkippedPart | None]:
    """Return the JSON value of an entry, and what is wrong with its text; without a value, that is why."""
    if entry.problem:
        return None, SkippedPart("", *entry.problem)
    try:
        loaded = load(entry.text, entry.cuts)
    except InvalidJson:
        return None, SkippedPart("", "invalid_json", "This is not valid JSON.")
    return loaded, SkippedPart("", "invalid_text", REPAIRED_DETAIL) if loaded.repaired else None


def _is_beyond_a_bound(entry: RawEntry) -> bool:
    return entry.problem is not None and entry.problem[0] != "invalid_json"


def _format(value: Any) -> ImportFormat | None:
    return next((one for one in FORMATS if one.recognises(value)), None) if isinstance(value, dict) else None


def _draft(value: Any) -> tuple[ConversationDraft | None, list[SkippedPart]]:
    found = _format(value)
    if found is None:
        return None, [UNKNOWN_FORMAT]
    try:
        draft: ConversationDraft | None
        draft, skipped = found.read(value)
    except ValidationError as error:
        return None, invalid_parts(error, "")
    except InvalidConversation as error:
        return None, [SkippedPart("", error.code, error.detail)]
    return draft, skipped


def _names() -> str:
    return "; ".join(one.name for one in FORMATS)
