"""What other services ask; the gateway has no route here."""

from typing import Annotated

from fastapi import APIRouter, Depends

from history.conversations.schemas import KnownTurns, Owner, TurnDigests, TurnIds
from history.conversations.service import path_id
from history.conversations.store import Conversations, Turns
from history.dependencies import NOT_FOUND, Services
from history.errors import ConversationNotFound
from parley.security.identity import INTERNAL_SCOPE, Principal, caller
from parley.web.app import JsonRoute

router = APIRouter(prefix="/internal", route_class=JsonRoute, tags=["internal"], include_in_schema=False)

Service = Annotated[Principal, Depends(caller(INTERNAL_SCOPE))]


@router.get("/conversations/{conversation_id}/owner", responses=NOT_FOUND)
async def conversation_owner(conversation_id: str, _service: Service, services: Services) -> Owner:
    """Say whose a conversation is or was, and the number of its last turn."""
    stored: Conversations = services.stored
    found = await stored.owner(path_id(conversation_id))
    if found is None:
        raise ConversationNotFound
    return found


@router.post("/turns/known")
async def known_turns(wanted: TurnIds, _service: Service, services: Services) -> KnownTurns:
    """Say which turns are stored to their end, or need not be sent again because nothing of them may be stored."""
    turns: Turns = services.turns
    return KnownTurns(known=await turns.known(wanted.turn_ids))


@router.post("/turns/digests")
async def turn_digests(wanted: TurnIds, _service: Service, services: Services) -> TurnDigests:
    """Return the digests of what is stored, to be compared with what was accepted."""
    turns: Turns = services.turns
    return TurnDigests(digests=await turns.digests(wanted.turn_ids))
