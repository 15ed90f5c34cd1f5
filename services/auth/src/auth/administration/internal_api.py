"""Internal route for the user names in reports; the gateway does not expose it."""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth.administration.schemas import UsernamesAnswer, UsernamesQuestion
from auth.administration.service import AdminService
from auth.security.scopes import ADMIN_SCOPE
from auth.web.dependencies import provide
from parley.errors import InvalidJson, UnsupportedMediaType, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/internal", route_class=JsonRoute, tags=["internal"])


@router.post("/users/names", responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed))
async def find_usernames(
    body: UsernamesQuestion,
    principal: Annotated[Principal, Depends(caller(ADMIN_SCOPE))],
    admin: Annotated[AdminService, Depends(provide(AdminService))],
) -> UsernamesAnswer:
    """Return the user names of the accounts that exist. The caller is an administrator whose token history forwards."""
    del principal
    return UsernamesAnswer(names=dict(await admin.usernames(body.user_ids)))
