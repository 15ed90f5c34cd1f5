"""Passwords that were forgotten."""

from typing import Annotated

from pydantic import Field

from auth.web.fields import Email, Password
from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, Text


class ResetBody(RequestBody):
    """A new password for somebody who forgot the old one."""

    reset_token: Annotated[Text, Field(max_length=256, repr=False)]
    new_password: Password


class ResetRequestBody(RequestBody):
    """Where to mail a link for a new password."""

    email: Email


class ResetRequestView(ResponseBody):
    """Nothing: whether there is such an account is nobody's business."""


class ResetView(ResponseBody):
    """A token that lets somebody set a new password; shown once."""

    reset_token: str = Field(repr=False)
    expires_at: Timestamp
