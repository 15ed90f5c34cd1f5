"""Response bodies of the OAuth2 routes."""

from typing import Literal

from pydantic import Field

from parley.web.schemas import ResponseBody


class TokenView(ResponseBody):
    """The response of the token endpoint; refresh members are present only for logins."""

    access_token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the type of the token, not a token
    expires_in: int
    refresh_token: str | None = Field(None, repr=False)
    refresh_expires_in: int | None = None
    scope: str
    issued_token_type: str | None = None


class TokenErrorView(ResponseBody):
    """An error in the form of RFC 6749."""

    error: str
    error_description: str


class IntrospectionView(ResponseBody):
    """The state of a token (RFC 7662); an inactive token has only ``active``."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    username: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None
    sid: str | None = None
