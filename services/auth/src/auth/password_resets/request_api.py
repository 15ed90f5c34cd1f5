"""Asking for a new password by mail; there is no such route where no mail can be sent."""

from fastapi import APIRouter, Request

from auth.password_resets.schemas import ResetRequestBody, ResetRequestView
from auth.web.error_responses import problems
from auth.web.origin import origin_of
from parley.errors import InvalidJson, NotFound, Overloaded, UnsupportedMediaType, ValidationFailed
from parley.web.app import JsonRoute

router = APIRouter(prefix="/api/v1/auth", route_class=JsonRoute, tags=["accounts"])


@router.post(
    "/password-reset/request",
    status_code=202,
    responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed, NotFound, Overloaded),
)
async def request_reset(body: ResetRequestBody, request: Request) -> ResetRequestView:
    """Mail a link for a new password, if there is such an account; 404 unless `SMTP_URL` is set."""
    request.app.state.wired.reset_requests.take(body.email, origin_of(request))
    return ResetRequestView()
