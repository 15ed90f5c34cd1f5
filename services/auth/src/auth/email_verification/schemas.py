"""Request and response bodies of e-mail verification."""

from typing import Annotated

from pydantic import Field

from parley.web.schemas import RequestBody, ResponseBody, Text

MAX_TOKEN_LENGTH = 128


class VerificationBody(RequestBody):
    """The token of a mailed link."""

    verification_token: Annotated[Text, Field(max_length=MAX_TOKEN_LENGTH, repr=False)]


class VerificationRequestView(ResponseBody):
    """An empty body: whether a mail is sent depends on the account."""
