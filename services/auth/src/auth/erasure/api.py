"""Being forgotten."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from auth.erasure.schemas import ErasureView
from auth.errors import LastAdmin
from auth.security.scopes import ACCOUNT
from auth.web.error_responses import personal, problems
from auth.web.origin import origin_of
from parley.errors import NotFound
from parley.security.identity import Principal, caller

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])

PATH = "/api/v1/auth/erasures"


@router.delete("/me", status_code=202, responses=personal(LastAdmin, NotFound))
async def erase_me(
    request: Request, response: Response, principal: Annotated[Principal, Depends(caller(ACCOUNT))]
) -> ErasureView:
    """Delete the account and everything of it, everywhere; needs a log-in of the last five minutes."""
    erasure = await request.app.state.wired.erasures.erase_self(principal, origin_of(request, principal))
    response.headers["Location"] = f"{PATH}/{erasure.id}"
    return ErasureView.of(erasure)


@router.get("/erasures/{erasure_id}", responses=problems(NotFound))
async def erasure(erasure_id: str, request: Request) -> ErasureView:
    """Say how far an erasure is; whoever knows the id may ask."""
    return ErasureView.of(await request.app.state.wired.erasures.find(erasure_id))
