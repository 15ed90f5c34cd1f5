"""Items of an input that stand for others: items of earlier responses by their IDs, and compactions."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chat.api.request_checks import invalid
from chat.errors import TurnNotFound
from chat.model import Turn
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.compaction import COMPACTION, is_compaction, is_whole, summary_item
from chat.protocols.openai_responses.output import folded
from chat.protocols.openai_responses.parameters import STORED_MEMBERS
from chat.protocols.openai_responses.resource import input_items, is_hidden, status_of
from chat.protocols.openai_responses.schemas import InputItem, ResponseRequest
from chat.service import ChatService
from chat.turn_store import TurnsTooLong
from parley.field_errors import FieldError

REFERENCE = "item_reference"
MAX_REFERENCED_RESPONSES = 100
LONG_RESPONSES = "The responses whose items are referenced are too long together. Send some of the items themselves."
UNKNOWN_COMPACTION = "No compaction of yours is kept for this item. Send the items that it stood for."
_NAMES = {REFERENCE: "id", COMPACTION: "encrypted_content"}
"""Members of items that name others, by type."""


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request with the items that it names, and where they are from."""

    body: ResponseRequest
    copied_from: dict[UUID, int] = field(default_factory=dict)
    """The conversations of the items, with the deletions of items that each had when they were read."""


async def with_referenced_items(service: ChatService, user_id: UUID, body: ResponseRequest) -> ResolvedRequest:
    """Return the request with the named items in place of those that name them.

    Raises TurnNotFound for an item that the user has not, and InvalidRequest for such a compaction, for an item that
    is named twice and for items of too many responses.
    """
    if not isinstance(body.input, list) or all(item.type not in _NAMES for item in body.input):
        return ResolvedRequest(body)
    names = [_name(item) for item in body.input]
    _check_duplicates(body.input, names)
    turn_ids = {turn_id for name in names if name is not None and (turn_id := ids.turn_of_item(name)) is not None}
    if len(turn_ids) > MAX_REFERENCED_RESPONSES:
        detail = f"Items of at most {MAX_REFERENCED_RESPONSES} responses can be referenced."
        raise invalid("/input", "too_many_references", detail)
    try:
        snapshots = await service.snapshots(user_id, turn_ids)
    except TurnsTooLong:
        raise invalid("/input", "too_many_references", LONG_RESPONSES) from None
    known: dict[str, dict[str, Any]] = {}
    copied_from: dict[UUID, int] = {}
    for snapshot in snapshots:
        known |= _items(snapshot.turn)
        if snapshot.turn.conversation_id is not None:
            copied_from[snapshot.turn.conversation_id] = snapshot.item_deletions
    found = [
        item if name is None else _named(item, known.get(name), position)
        for position, (item, name) in enumerate(zip(body.input, names, strict=True))
    ]
    return ResolvedRequest(body.model_copy(update={"input": found}), copied_from)


def _name(item: InputItem) -> str | None:
    """Return the ID of the item that an item stands for; None for an item that stands for itself."""
    return getattr(item, _NAMES[item.type]) or "" if item.type in _NAMES else None


def _check_duplicates(items: list[InputItem], names: list[str | None]) -> None:
    """Raise InvalidRequest for a second reference to an item, which would make a short request arbitrarily large."""
    seen: set[str] = set()
    for position, (item, name) in enumerate(zip(items, names, strict=True)):
        if name is None:
            continue
        if name in seen:
            detail = "The item is referenced twice. Remove one reference."
            raise invalid(f"/input/{position}/{_NAMES[item.type]}", "duplicate", detail)
        seen.add(name)


def _named(item: InputItem, found: dict[str, Any] | None, position: int) -> InputItem:
    pointer = f"/input/{position}/{_NAMES[item.type]}"
    if item.type == COMPACTION and (found is None or not (item.encrypted_content or "").startswith("cmp_")):
        raise invalid(pointer, "not_found", UNKNOWN_COMPACTION)
    if found is None:
        detail = "No item of a stored response has this ID."
        raise TurnNotFound(detail, errors=[FieldError(pointer, "not_found", detail)])
    return as_input(found)


def as_input(item: dict[str, Any]) -> InputItem:
    """Return an item of a response as an item of an input."""
    return InputItem.model_validate(
        {name: item[name] for name in ("type", *STORED_MEMBERS[item["type"]]) if name in item}
    )


def _items(turn: Turn) -> dict[str, dict[str, Any]]:
    """Return the input and output items of a response by their IDs, none if it is hidden or running."""
    if is_compaction(turn):
        return dict([summary_item(turn)]) if is_whole(turn) else {}
    if is_hidden(turn) or turn.running:
        return {}
    output = folded(turn.id, turn.entries).output(complete=status_of(turn) == "completed") if turn.entries else []
    return {item["id"]: item for item in (*input_items(turn), *output)}
