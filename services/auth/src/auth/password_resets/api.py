"""Routes for password resets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth.errors import PasswordTooWeak
from auth.password_resets.request_queue import ResetRequestQueue
from auth.password_resets.schemas import ResetBody, ResetRequestBody, ResetRequestView
from auth.password_resets.service import PasswordResetService
from auth.web.dependencies import provide
from auth.web.origin import Origins
from parley.errors import InvalidJson, NotFound, Overloaded, UnsupportedMediaType, ValidationFailed
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/api/v1/auth", route_class=JsonRoute, tags=["accounts"])
mail_router = APIRouter(prefix="/api/v1/auth", route_class=JsonRoute, tags=["accounts"])
"""Mounted only if `SMTP_URL` is set."""


@router.post(
    "/password-reset",
    status_code=204,
    responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed, PasswordTooWeak),
)
async def reset_password(
    body: ResetBody,
    request: Request,
    resets: Annotated[PasswordResetService, Depends(provide(PasswordResetService))],
    origins: Origins,
) -> None:
    """Set a new password with a reset token.

    Every session of the account ends, and unless `end_api_keys` is false, the API keys made since the password was
    last set.
    """
    origin = origins.resolve(request)
    await resets.use(body.reset_token, body.new_password, origin, end_api_keys=body.end_api_keys)


@mail_router.post(
    "/password-reset/request",
    status_code=202,
    responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed, NotFound, Overloaded),
)
async def request_reset(
    body: ResetRequestBody,
    request: Request,
    queue: Annotated[ResetRequestQueue, Depends(provide(ResetRequestQueue))],
    origins: Origins,
) -> ResetRequestView:
    """Mail a password reset link to this address, if an account has verified it; 404 unless `SMTP_URL` is set."""
    queue.add(body.email, origins.resolve(request))
    return ResetRequestView()
