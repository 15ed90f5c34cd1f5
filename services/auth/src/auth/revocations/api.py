"""What only our own services ask; the gateway's route table does not have it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth.revocations.schemas import RevocationAnswer, RevocationQuestion
from auth.web.error_responses import personal
from parley.errors import InvalidJson, UnsupportedMediaType, ValidationFailed
from parley.security.identity import INTERNAL_SCOPE, Principal, caller
from parley.web.app import JsonRoute

router = APIRouter(prefix="/internal", route_class=JsonRoute, tags=["internal"])


@router.post("/revocations/check", responses=personal(InvalidJson, UnsupportedMediaType, ValidationFailed))
async def check_revocations(
    body: RevocationQuestion, request: Request, principal: Annotated[Principal, Depends(caller(INTERNAL_SCOPE))]
) -> RevocationAnswer:
    """Say which sessions, and which users with tokens issued at that second, are revoked."""
    del principal
    sessions, users = await request.app.state.wired.revocations.among(body.sessions, body.users)
    return RevocationAnswer(revoked_sessions=sessions, revoked_users=users)
