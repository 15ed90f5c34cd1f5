"""Request and response bodies of password resets."""

from typing import Annotated

from pydantic import Field

from auth.web.fields import Email, EndApiKeys, Password
from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, Text


class ResetBody(RequestBody):
    """A new password with the reset token that allows it."""

    reset_token: Annotated[Text, Field(max_length=256, repr=False)]
    new_password: Password
    end_api_keys: EndApiKeys = True


class ResetRequestBody(RequestBody):
    """The e-mail address of an account whose password is to be reset."""

    email: Email


class ResetRequestView(ResponseBody):
    """An empty body, so that the response does not reveal whether an account exists."""


class ResetView(ResponseBody):
    """A password reset token; shown once."""

    reset_token: str = Field(repr=False)
    url: str = Field(repr=False, description="The page on which the owner of the account chooses a password.")
    expires_at: Timestamp
