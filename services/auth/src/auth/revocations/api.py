"""Internal route for revocation checks; the gateway does not expose it."""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth.revocations.schemas import RevocationAnswer, RevocationQuestion
from auth.revocations.service import RevocationService
from auth.web.dependencies import provide
from parley.errors import InvalidJson, UnsupportedMediaType, ValidationFailed
from parley.security.identity import INTERNAL_SCOPE, Principal, caller
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/internal", route_class=JsonRoute, tags=["internal"])


@router.post(
    "/revocations/check",
    responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed),
)
async def check_revocations(
    body: RevocationQuestion,
    principal: Annotated[Principal, Depends(caller(INTERNAL_SCOPE))],
    revocations: Annotated[RevocationService, Depends(provide(RevocationService))],
) -> RevocationAnswer:
    """Return which of the sessions are revoked, and which users with a token issued at that second."""
    del principal
    sessions, users = await revocations.find_revoked(body.sessions, body.users)
    return RevocationAnswer(revoked_sessions=sessions, revoked_users=users)
