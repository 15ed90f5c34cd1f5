"""Internal message route; the gateway does not expose it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from history.messages.api import message_service
from history.messages.schemas import BranchResponse
from history.messages.service import MessageService
from history.messages.store import BranchQuery
from parley.security.identity import INTERNAL_SCOPE, caller

router = APIRouter(
    prefix="/internal/conversations",
    tags=["internal"],
    include_in_schema=False,
    dependencies=[Depends(caller(INTERNAL_SCOPE))],
)

MAX_BRANCH_CHARACTERS = 4_000_000
"""Characters of a branch in one response."""
MAX_BRANCH_MESSAGES = 2_000
"""Messages of a branch in one response."""


@router.get("/{conversation_id}/branch")
async def branch(
    conversation_id: UUID,
    leaf: UUID,
    user_id: UUID,
    messages: Annotated[MessageService, Depends(message_service)],
    characters: Annotated[int, Query(ge=0, le=MAX_BRANCH_CHARACTERS)] = MAX_BRANCH_CHARACTERS,
    limit: Annotated[int, Query(ge=1, le=MAX_BRANCH_MESSAGES)] = MAX_BRANCH_MESSAGES,
) -> BranchResponse:
    """Return the newest messages of the user's branch that ends in ``leaf``, newest first."""
    return await messages.branch(BranchQuery(user_id, conversation_id, leaf, characters, limit))
