"""What can go wrong in auth, beside the common errors."""

from typing import ClassVar

from parley.errors import FieldError, Forbidden, ParleyError, RateLimited


class AccountExists(ParleyError):
    """The user name or e-mail address is taken."""

    status, code, title = 409, "account_exists", "Account exists"
    remedy = "Choose another user name or address, or log in."


class LastAdmin(ParleyError):
    """This is the last active administrator."""

    status, code, title = 409, "last_admin", "Last administrator"
    remedy = "Give another active account the scope `admin` first."


class RegistrationClosed(Forbidden):
    """New accounts cannot be registered here."""

    code, title = "registration_closed", "Registration closed"
    remedy = "Ask an administrator for an account."


class AccountDisabled(Forbidden):
    """This account is disabled."""

    code, title = "account_disabled", "Account disabled"
    remedy = "Ask an administrator."


class PasswordTooWeak(ParleyError):
    """The password is too weak."""

    status, code, title = 422, "password_too_weak", "Password too weak"
    remedy = "Choose a longer password that is not on the list of common ones; any characters will do."

    def __init__(self, reason: str, *, pointer: str = "/password", code: str = "too_weak") -> None:
        """Say why, and which member holds the password."""
        super().__init__(reason, errors=[FieldError(pointer, code, reason)])


class IdempotencyKeyReused(ParleyError):
    """This Idempotency-Key was used for a different request."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"
    remedy = "Use a new key for each new request."


class LoginThrottled(RateLimited):
    """Too many failed log-ins."""

    code, title = "login_throttled", "Too many failed log-ins"
    remedy = "Wait as long as `Retry-After` says; each further failure makes the wait longer."

    def __init__(self, retry_after: int) -> None:
        """Take the seconds to wait."""
        super().__init__(
            f"Too many failed log-ins. Retry in {retry_after} s.", headers={"Retry-After": str(retry_after)}
        )


class OAuthError(Exception):
    """An error of the token endpoint in the form of RFC 6749, section 5.2."""

    status: ClassVar[int] = 400
    error: ClassVar[str] = "invalid_request"

    def __init__(self, description: str) -> None:
        """Take the sentence for the client."""
        super().__init__(description)
        self.description = description


class OAuthInvalidRequest(OAuthError):
    """The request lacks a parameter, repeats one or is malformed."""


class InvalidGrant(OAuthError):
    """The password, refresh token or key is not valid."""

    error = "invalid_grant"


class InvalidClient(OAuthError):
    """The client's own credentials are wrong."""

    status, error = 401, "invalid_client"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant."""

    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The grant type is not known."""

    error = "unsupported_grant_type"


class InvalidScope(OAuthError):
    """A scope was asked for that is not granted."""

    error = "invalid_scope"
