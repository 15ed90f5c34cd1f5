"""Routes of e-mail verification. Mounted only if `SMTP_URL` is set."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth.email_verification.schemas import VerificationBody, VerificationRequestView
from auth.email_verification.service import EmailVerificationService
from auth.security.scopes import ACCOUNT_SCOPE
from auth.web.dependencies import provide
from auth.web.origin import Origins
from parley.errors import InvalidJson, NotFound, UnsupportedMediaType, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/api/v1/auth/email-verification", route_class=JsonRoute, tags=["accounts"])

Service = Annotated[EmailVerificationService, Depends(provide(EmailVerificationService))]


@router.post("/request", status_code=202, responses=problems(NotFound))
async def request_verification(
    request: Request,
    principal: Annotated[Principal, Depends(caller(ACCOUNT_SCOPE))],
    service: Service,
    origins: Origins,
) -> VerificationRequestView:
    """Mail a link that verifies the e-mail address of the caller, unless it is verified; 404 unless `SMTP_URL` is set.

    An account gets at most one mail a minute.
    """
    await service.send_link(principal.user_id, origins.resolve(request, principal))
    return VerificationRequestView()


@router.post("", status_code=204, responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed, NotFound))
async def verify_email(body: VerificationBody, request: Request, service: Service, origins: Origins) -> None:
    """Verify an e-mail address with the token of a mailed link; 404 unless `SMTP_URL` is set."""
    await service.confirm(body.verification_token, origins.resolve(request))
