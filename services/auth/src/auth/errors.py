"""Errors of auth, besides the common ones."""

from typing import ClassVar

from parley.errors import Forbidden, ParleyError, RateLimited
from parley.field_errors import FieldError


class AccountExists(ParleyError):
    """The user name or e-mail address is already in use."""

    status, code, title = 409, "account_exists", "Account exists"
    remedy = "Choose another user name or e-mail address, or log in to the existing account."


class LastAdmin(ParleyError):
    """The last active administrator cannot be disabled, demoted or erased."""

    status, code, title = 409, "last_admin", "Last administrator"
    remedy = "Give another active account the scope `admin` first."


class RegistrationClosed(Forbidden):
    """Registration is closed on this server."""

    code, title = "registration_closed", "Registration closed"
    remedy = "Ask an administrator for an account."


class AccountDisabled(Forbidden):
    """The account is disabled."""

    code, title = "account_disabled", "Account disabled"
    remedy = "Ask an administrator to enable the account."


class PasswordTooWeak(ParleyError):
    """The password is too weak."""

    status, code, title = 422, "password_too_weak", "Password too weak"
    remedy = "Choose a longer password that is not on the list of common passwords. All characters are allowed."

    def __init__(self, reason: str, *, pointer: str = "/password", code: str = "too_weak") -> None:
        super().__init__(reason, errors=[FieldError(pointer, code, reason)])


class LoginThrottled(RateLimited):
    """Too many failed logins."""

    code, title = "login_throttled", "Too many failed logins"
    remedy = "Wait for the seconds in `Retry-After`. Each further failure doubles the delay, up to 15 minutes."

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many failed logins. Retry in {retry_after} s.", headers={"Retry-After": str(retry_after)}
        )


def too_many_changes(retry_after: int) -> RateLimited:
    """Return the refusal of a change that the owner of an account has made too often."""
    return RateLimited(
        f"The account has changed too often within a day. Retry in {retry_after} s.",
        headers={"Retry-After": str(retry_after)},
    )


class OAuthError(Exception):
    """An error of the token endpoint in the form of RFC 6749, section 5.2."""

    status: ClassVar[int] = 400
    error: ClassVar[str] = "invalid_request"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


class OAuthInvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed."""


class InvalidGrant(OAuthError):
    """The password, refresh token or key is not valid."""

    error = "invalid_grant"


class InvalidClient(OAuthError):
    """The client credentials are wrong."""

    status, error = 401, "invalid_client"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant."""

    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The grant type is not supported."""

    error = "unsupported_grant_type"


class InvalidScope(OAuthError):
    """A requested scope is not granted."""

    error = "invalid_scope"
