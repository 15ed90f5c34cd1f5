"""A new password for somebody who forgot the old one."""

from fastapi import APIRouter, Request

from auth.errors import PasswordTooWeak
from auth.password_resets.schemas import ResetBody
from auth.web.error_responses import problems
from auth.web.origin import origin_of
from parley.errors import InvalidJson, UnsupportedMediaType, ValidationFailed
from parley.web.app import JsonRoute

router = APIRouter(prefix="/api/v1/auth", route_class=JsonRoute, tags=["accounts"])


@router.post(
    "/password-reset",
    status_code=204,
    responses=problems(InvalidJson, UnsupportedMediaType, ValidationFailed, PasswordTooWeak),
)
async def reset_password(body: ResetBody, request: Request) -> None:
    """Set a new password with a token from an administrator; every session ends."""
    await request.app.state.wired.resets.use(body.reset_token, body.new_password, origin_of(request))
