"""Routes of account erasure."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from auth.erasure.schemas import ErasureView
from auth.erasure.service import ErasureService
from auth.errors import LastAdmin
from auth.security.scopes import ACCOUNT_SCOPE
from auth.web.dependencies import provide
from auth.web.origin import Origins
from parley.errors import NotFound, ReauthenticationRequired
from parley.security.identity import Principal, caller
from parley.web.openapi import location, problems

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])

ERASURES_PATH = "/api/v1/auth/erasures"
ERASURE_LOCATION = location("The progress of the erasure.", f"{ERASURES_PATH}/Zk3hXw0cQ2mR7tVb9nYp1sLd5fGj8aKe")
Service = Annotated[ErasureService, Depends(provide(ErasureService))]


@router.delete(
    "/me",
    status_code=202,
    responses={202: {"headers": ERASURE_LOCATION}, **problems(LastAdmin, NotFound, ReauthenticationRequired)},
)
async def erase_me(
    request: Request,
    response: Response,
    principal: Annotated[Principal, Depends(caller(ACCOUNT_SCOPE))],
    erasures: Service,
    origins: Origins,
) -> ErasureView:
    """Erase the account of the caller in every service. Requires a login within the last five minutes."""
    erasure = await erasures.erase_self(principal, origins.resolve(request, principal))
    response.headers["Location"] = f"{ERASURES_PATH}/{erasure.id}"
    return ErasureView.of(erasure)


@router.get("/erasures/{erasure_id}", responses=problems(NotFound))
async def erasure(erasure_id: str, erasures: Service) -> ErasureView:
    """Return the progress of an erasure. The id is the only credential needed."""
    return ErasureView.of(await erasures.find(erasure_id))
