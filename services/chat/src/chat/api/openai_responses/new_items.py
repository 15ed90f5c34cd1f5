"""Items that a request puts into a conversation: their checks."""

from collections.abc import Sequence
from uuid import UUID

from starlette.requests import HTTPConnection

from chat.admission.conversation_items import ItemsRequest
from chat.api.openai_responses.checks import check_item
from chat.api.openai_responses.item_references import REFERENCE
from chat.api.request_checks import invalid
from chat.input_items import Item, text_of
from chat.model import IdempotencyKey
from chat.protocols.openai_responses.compaction import COMPACTION
from chat.protocols.openai_responses.parameters import item_of
from chat.protocols.openai_responses.schemas import MAX_NEW_ITEMS, InputItem
from parley.security.identity import Principal

NO_REFERENCE = "Send the item itself: an item is in one conversation only."
NO_COMPACTION = "A compaction is an item of inputs only. Send a message in place of it."


def checked_items(items: Sequence[InputItem]) -> list[Item]:
    """Return items as they are stored; raises InvalidRequest and UnsupportedContent."""
    if len(items) > MAX_NEW_ITEMS:
        raise invalid("/items", "too_long", f"At most {MAX_NEW_ITEMS} items. Send the others with another request.")
    for position, item in enumerate(items):
        pointer = f"/items/{position}"
        if item.type == REFERENCE:
            raise invalid(f"{pointer}/type", "unsupported", NO_REFERENCE)
        if item.type == COMPACTION:
            raise invalid(f"{pointer}/type", "unsupported", NO_COMPACTION)
        check_item(item, pointer, None)
        if item.type == "message" and not text_of_item(item).strip():
            raise invalid(f"{pointer}/content", "blank", "Must not be blank.")
    return [item_of(item) for item in items]


def text_of_item(item: InputItem) -> str:
    """Return the text of a message."""
    return text_of(item_of(item).get("content"))


def items_request(
    connection: HTTPConnection,
    principal: Principal,
    conversation_id: UUID,
    items: Sequence[Item],
    key: IdempotencyKey | None = None,
) -> ItemsRequest:
    """Return the request to put items into a conversation of the caller."""
    request_id = connection.scope["parley"].request_id
    return ItemsRequest(principal.user_id, principal.plan, request_id, conversation_id, items, key)
