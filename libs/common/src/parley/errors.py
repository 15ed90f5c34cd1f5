"""Errors that clients receive. A class has a stable ``code`` and one HTTP status; its docstring is the default detail.

ParleyError
├── InvalidRequest 400 ── InvalidJson · InvalidCursor · AmbiguousCredentials
├── Unauthenticated 401 ── CredentialsMissing · TokenInvalid · TokenExpired · TokenRevoked · ApiKeyInvalid
│                          · ReauthenticationRequired
├── Forbidden 403 ── InsufficientScope
├── NotFound 404
├── MethodNotAllowed 405 · NotAcceptable 406 · PreconditionFailed 412 · BodyTooLarge 413 · UnsupportedMediaType 415
├── ValidationFailed 422 · RateLimited 429 · HeadersTooLarge 431
├── InternalError 500
└── DependencyUnavailable 503 ── Overloaded · Draining

Services define their own subclasses in their ``errors.py``.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from parley.field_errors import FieldError, summary


class ParleyError(Exception):
    """An unexpected error occurred."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    remedy: ClassVar[str] = "Try again. If the error persists, report it with the `request_id`."
    anthropic_details: Mapping[str, str | list[str]] | None = None  # its ``error.details``, by which its SDKs go on

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **members: str | float | None,
    ) -> None:
        """Set the detail, invalid fields and response headers; ``members`` are added to the response body."""
        self.errors = tuple(errors)
        self.detail = detail or self._summary()
        self.headers = dict(headers or {})
        self.members = members
        super().__init__(self.detail)

    def _summary(self) -> str:
        """Return the detail of an error that is raised without one."""
        return (type(self).__doc__ or self.title).strip().splitlines()[0]


class InvalidRequest(ParleyError):
    """The request is malformed."""

    status, code, title = 400, "invalid_request", "Bad request"
    remedy = "Correct the request as `detail` says; the same request fails again."

    def _summary(self) -> str:
        return self.errors[0].sentence() if len(self.errors) == 1 else super()._summary()


class InvalidJson(InvalidRequest):
    """The request body is not valid JSON."""

    code, title = "invalid_json", "Invalid JSON"
    remedy = "Send one JSON object, encoded as UTF-8."


class InvalidCursor(InvalidRequest):
    """The cursor belongs to a different list. Send `next_cursor` unchanged, or omit it to start over."""

    code, title = "invalid_cursor", "Invalid cursor"
    remedy = "Send `next_cursor` of the previous page unchanged, or omit it to start over."


class AmbiguousCredentials(InvalidRequest):
    """The request has two different credentials. Send either `Authorization` or `X-API-Key`."""

    code, title = "ambiguous_credentials", "Ambiguous credentials"
    remedy = "Send either `Authorization` or `X-API-Key`, once."


class Unauthenticated(ParleyError):
    """The request has no valid credentials."""

    status, code, title = 401, "credentials_missing", "Not authenticated"
    challenge: ClassVar[str] = 'Bearer error="invalid_token"'
    remedy = "Log in again and send the new access token."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": self.challenge})


class CredentialsMissing(Unauthenticated):
    """The request has no credentials. Send an access token or an API key."""

    challenge = "Bearer"
    remedy = "Send `Authorization: Bearer <access token or API key>`."


class TokenInvalid(Unauthenticated):
    """The access token is invalid."""

    code, title = "token_invalid", "Invalid token"


class TokenExpired(Unauthenticated):
    """The access token has expired."""

    code, title = "token_expired", "Token expired"
    remedy = "Use the refresh token to get a new access token."


class TokenRevoked(Unauthenticated):
    """The session of the access token was revoked. Log in again."""

    code, title = "session_revoked", "Session revoked"


class ApiKeyInvalid(Unauthenticated):
    """The API key is invalid: it does not exist, was deleted, or has expired."""

    code, title = "api_key_invalid", "Invalid API key"
    remedy = "Check the key for typing errors. Create a new key if it was deleted or has expired."


class ReauthenticationRequired(Unauthenticated):
    """This request requires a login within the last five minutes."""

    code, title = "reauthentication_required", "Log in again"
    challenge = 'Bearer error="insufficient_user_authentication", max_age=300'
    remedy = "Log in with the password and repeat the request with the new access token."


class Forbidden(ParleyError):
    """The credentials do not permit this request."""

    status, code, title = 403, "insufficient_scope", "Forbidden"
    remedy = "Use credentials with the required scope."


class InsufficientScope(Forbidden):
    """The credentials lack the required scope."""

    title = "Insufficient scope"

    def __init__(self, scope: str) -> None:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        super().__init__(f"This request requires the scope {scope}.", headers={"WWW-Authenticate": challenge})


class NotFound(ParleyError):
    """The resource does not exist."""

    status, code, title = 404, "not_found", "Not found"
    remedy = "Check the path and the id."


class MethodNotAllowed(ParleyError):
    """The path does not support this method. The `Allow` header lists the supported methods."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    remedy = "Use one of the methods in the `Allow` header."


class NotAcceptable(ParleyError):
    """None of the media types in `Accept` is supported here."""

    status, code, title = 406, "not_acceptable", "Not acceptable"
    remedy = "Accept `application/json`, or `text/event-stream` for streams."


class PreconditionFailed(ParleyError):
    """The resource has changed since you read it. Read it again and use the new ETag."""

    status, code, title = 412, "precondition_failed", "Precondition failed"
    remedy = "Read the resource again and repeat the change with its new ETag."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"x-should-retry": "false"})  # read by OpenAI's SDKs


class BodyTooLarge(ParleyError):
    """The request body is too large."""

    status, code, title = 413, "body_too_large", "Body too large"
    remedy = "Send a smaller body; `detail` gives the limit."


class UnsupportedMediaType(ParleyError):
    """The request body must be application/json."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    remedy = "Set `Content-Type: application/json`."

    def __init__(self, accepted: str = "application/json", *, detail: str | None = None) -> None:
        super().__init__(detail or f"The request body must be {accepted}.", headers={"Accept-Post": accepted})


class HeadersTooLarge(ParleyError):
    """The request headers are too large."""

    status, code, title = 431, "headers_too_large", "Headers too large"
    remedy = "Send fewer or shorter headers."


class ValidationFailed(ParleyError):
    """One or more fields are invalid."""

    status, code, title = 422, "validation_failed", "Invalid request"
    remedy = "Correct the fields in `errors`: each entry names one field and says what is wrong with it."

    def __init__(self, errors: Iterable[FieldError]) -> None:
        super().__init__(errors=errors)

    def _summary(self) -> str:
        return summary(self.errors)


class RateLimited(ParleyError):
    """Too many requests. Try again after the seconds in `Retry-After`."""

    status, code, title = 429, "rate_limited", "Too many requests"
    remedy = "Wait for the number of seconds in `Retry-After`, then try again."


class InternalError(ParleyError):
    """An unexpected error occurred."""


class DependencyUnavailable(ParleyError):
    """A part of the service is temporarily unavailable. Try again later."""

    status, code, title = 503, "dependency_unavailable", "Temporarily unavailable"
    remedy = "Wait for the number of seconds in `Retry-After`, then try again."

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Overloaded(DependencyUnavailable):
    """The service is overloaded. Try again later."""

    code, title = "overloaded", "Overloaded"


class Draining(DependencyUnavailable):
    """This instance is shutting down. Try again."""

    code, title = "draining", "Shutting down"
