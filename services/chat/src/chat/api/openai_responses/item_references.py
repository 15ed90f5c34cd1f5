"""Items of earlier responses that an input refers to by their IDs."""

from typing import Any
from uuid import UUID

from chat.api.request_checks import invalid
from chat.errors import TurnNotFound
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.output import folded
from chat.protocols.openai_responses.parameters import STORED_MEMBERS
from chat.protocols.openai_responses.resource import input_items, is_hidden, status_of
from chat.protocols.openai_responses.schemas import InputItem, ResponseRequest
from chat.service import ChatService
from parley.field_errors import FieldError

REFERENCE = "item_reference"
MAX_REFERENCED_RESPONSES = 100


async def with_referenced_items(service: ChatService, user_id: UUID, body: ResponseRequest) -> ResponseRequest:
    """Return the request with the referenced items in place of their references.

    Raises TurnNotFound for an item that the user has not, and InvalidRequest for an item that is referenced twice and
    for items of too many responses.
    """
    if not isinstance(body.input, list) or all(item.type != REFERENCE for item in body.input):
        return body
    _check_duplicates(body.input)
    turn_ids = {ids.turn_of_item(item.id or "") for item in body.input if item.type == REFERENCE} - {None}
    if len(turn_ids) > MAX_REFERENCED_RESPONSES:
        detail = f"Items of at most {MAX_REFERENCED_RESPONSES} responses can be referenced."
        raise invalid("/input", "too_many_references", detail)
    known: dict[str, dict[str, Any]] = {}
    for turn_id in turn_ids:
        known |= await _items(service, user_id, turn_id)
    found = [
        _item(item, known, position) if item.type == REFERENCE else item for position, item in enumerate(body.input)
    ]
    return body.model_copy(update={"input": found})


def _check_duplicates(items: list[InputItem]) -> None:
    """Raise InvalidRequest for a second reference to an item, which would make a short request arbitrarily large."""
    seen: set[str | None] = set()
    for position, item in enumerate(items):
        if item.type != REFERENCE:
            continue
        if item.id in seen:
            raise invalid(f"/input/{position}/id", "duplicate", "The item is referenced twice. Remove one reference.")
        seen.add(item.id)


def _item(reference: InputItem, known: dict[str, dict[str, Any]], position: int) -> InputItem:
    item = known.get(reference.id or "")
    if item is None:
        detail = "No item of a stored response has this ID."
        raise TurnNotFound(detail, errors=[FieldError(f"/input/{position}/id", "not_found", detail)])
    return as_input(item)


def as_input(item: dict[str, Any]) -> InputItem:
    """Return an item of a response as an item of an input."""
    return InputItem.model_validate(
        {name: item[name] for name in ("type", *STORED_MEMBERS[item["type"]]) if name in item}
    )


async def _items(service: ChatService, user_id: UUID, turn_id: UUID | None) -> dict[str, dict[str, Any]]:
    """Return the input and output items of a response by their IDs, none if it does not exist or is running."""
    try:
        turn = await service.get(user_id, turn_id)
    except TurnNotFound:
        return {}
    if is_hidden(turn) or turn.running:
        return {}
    output = folded(turn.id, turn.entries).output(complete=status_of(turn) == "completed") if turn.entries else []
    return {item["id"]: item for item in (*input_items(turn), *output)}
