"""The error tree. A class is a stable ``code`` with its one HTTP status; its docstring is the default sentence.

ParleyError
├── InvalidRequest 400 ── InvalidJson · InvalidCursor · AmbiguousCredentials
├── Unauthenticated 401 ── CredentialsMissing · TokenInvalid · TokenExpired · TokenRevoked · ApiKeyInvalid
│                          · ReauthenticationRequired
├── Forbidden 403 ── InsufficientScope
├── NotFound 404
├── MethodNotAllowed 405 · NotAcceptable 406 · PreconditionFailed 412 · BodyTooLarge 413 · HeadersTooLarge 431
├── UnsupportedMediaType 415
├── ValidationFailed 422
├── RateLimited 429
├── InternalError 500
└── DependencyUnavailable 503 ── Overloaded · Draining

Services add their own below these in their ``errors.py``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a submitted member: where (JSON pointer), what (code) and why; never the value itself."""

    pointer: str
    code: str
    detail: str


class ParleyError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    remedy: ClassVar[str] = "Try again; if it stays, report it with the request id."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **members: str | float | None,
    ) -> None:
        """Take the sentence for the client, and what else the body (``members``) and the headers say."""
        self.detail = detail or (type(self).__doc__ or self.title).strip().splitlines()[0]
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = members
        super().__init__(self.detail)


class InvalidRequest(ParleyError):
    """The request cannot be understood."""

    status, code, title = 400, "invalid_request", "Bad request"
    remedy = "Read the detail; the request's form is wrong, so the same request fails again."


class InvalidJson(InvalidRequest):
    """The body is not valid JSON."""

    code, title = "invalid_json", "Invalid JSON"
    remedy = "Send one JSON object, encoded as UTF-8."


class InvalidCursor(InvalidRequest):
    """The cursor was not made by this list."""

    code, title = "invalid_cursor", "Invalid cursor"
    remedy = "Send `next_cursor` of the last page as it came, or none to start over."


class AmbiguousCredentials(InvalidRequest):
    """Two different credentials were sent."""

    code, title = "ambiguous_credentials", "Ambiguous credentials"
    remedy = "Send either `Authorization` or `X-API-Key`, once."


class Unauthenticated(ParleyError):
    """No valid credentials were sent."""

    status, code, title = 401, "credentials_missing", "Not authenticated"
    challenge: ClassVar[str] = 'Bearer error="invalid_token"'
    remedy = "Log in again and send the new access token."

    def __init__(self, detail: str | None = None) -> None:
        """Add the challenge that RFC 6750 asks for."""
        super().__init__(detail, headers={"WWW-Authenticate": self.challenge})


class CredentialsMissing(Unauthenticated):
    """Credentials are required: send an access token or an API key."""

    challenge = "Bearer"
    remedy = "Send `Authorization: Bearer <access token or API key>`."


class TokenInvalid(Unauthenticated):
    """The access token is not valid."""

    code, title = "token_invalid", "Invalid token"


class TokenExpired(Unauthenticated):
    """The access token has expired."""

    code, title = "token_expired", "Token expired"
    remedy = "Use the refresh token to get a new access token."


class TokenRevoked(Unauthenticated):
    """The session of this token has ended."""

    code, title = "session_revoked", "Session revoked"


class ApiKeyInvalid(Unauthenticated):
    """The API key is not valid."""

    code, title = "api_key_invalid", "Invalid API key"
    remedy = "Check the key for typing errors; make a new one if it was deleted or has expired."


class ReauthenticationRequired(Unauthenticated):
    """This needs a log-in of the last five minutes."""

    code, title = "reauthentication_required", "Log in again"
    challenge = 'Bearer error="insufficient_user_authentication", max_age=300'
    remedy = "Log in with the password and repeat the request with the new access token."


class Forbidden(ParleyError):
    """This is not allowed."""

    status, code, title = 403, "insufficient_scope", "Forbidden"
    remedy = "Use credentials that have the scope."


class InsufficientScope(Forbidden):
    """The credentials lack the scope for this."""

    title = "Insufficient scope"

    def __init__(self, scope: str) -> None:
        """Name the scope that is missing."""
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        super().__init__(f"This needs the scope {scope}.", headers={"WWW-Authenticate": challenge})


class NotFound(ParleyError):
    """There is nothing here."""

    status, code, title = 404, "not_found", "Not found"
    remedy = "Check the path and the id."


class MethodNotAllowed(ParleyError):
    """This path does not take that method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    remedy = "Use a method that the `Allow` header names."


class NotAcceptable(ParleyError):
    """None of the accepted media types can be made."""

    status, code, title = 406, "not_acceptable", "Not acceptable"
    remedy = "Accept `application/json`, or `text/event-stream` for streams."


class PreconditionFailed(ParleyError):
    """The object was changed since you read it."""

    status, code, title = 412, "precondition_failed", "Precondition failed"
    remedy = "Read the object again, and repeat the change with its new ETag."

    def __init__(self, detail: str | None = None) -> None:
        """Tell clients that the same request cannot succeed."""
        super().__init__(detail, headers={"x-should-retry": "false"})


class BodyTooLarge(ParleyError):
    """The body is larger than allowed."""

    status, code, title = 413, "body_too_large", "Body too large"
    remedy = "Send less."


class UnsupportedMediaType(ParleyError):
    """The body must be application/json."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    remedy = "Set `Content-Type: application/json`."

    def __init__(self, accepted: str = "application/json") -> None:
        """Name the media type that is accepted."""
        super().__init__(f"The body must be {accepted}.", headers={"Accept-Post": accepted})


class HeadersTooLarge(ParleyError):
    """The headers are larger than allowed."""

    status, code, title = 431, "headers_too_large", "Headers too large"
    remedy = "Send fewer or shorter headers."


class ValidationFailed(ParleyError):
    """A field is invalid."""

    status, code, title = 422, "validation_failed", "Invalid request"
    remedy = "Read `errors[]`: each entry points at one member and says what is wrong."

    def __init__(self, errors: Iterable[FieldError]) -> None:
        """Take the invalid fields and count them."""
        found = tuple(errors)
        super().__init__(
            "1 field is invalid." if len(found) == 1 else f"{len(found)} fields are invalid.", errors=found
        )


class RateLimited(ParleyError):
    """Too many requests."""

    status, code, title = 429, "rate_limited", "Too many requests"
    remedy = "Wait as long as `Retry-After` says."


class InternalError(ParleyError):
    """Something went wrong on our side."""


class DependencyUnavailable(ParleyError):
    """A part of the service cannot be reached right now."""

    status, code, title = 503, "dependency_unavailable", "Temporarily unavailable"
    remedy = "Wait as long as `Retry-After` says and try again."

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        """Take the seconds after which a retry makes sense."""
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Overloaded(DependencyUnavailable):
    """There is more work than this instance can do right now."""

    code, title = "overloaded", "Overloaded"


class Draining(DependencyUnavailable):
    """This instance is shutting down."""

    code, title = "draining", "Shutting down"
