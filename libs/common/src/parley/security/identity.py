"""Caller identity: the principal of a request, and the FastAPI dependency that authenticates it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from starlette.requests import Request

from parley import errors
from parley.process.current_user import work_for

INTERNAL_SCOPE = "internal"
"""Scope of calls between services; never granted to users."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The user, session and scopes of an access token. Times are in seconds since the epoch."""

    user_id: UUID
    scopes: frozenset[str]
    plan: str
    session_id: str
    client_id: str
    issued_at: int
    auth_time: int | None
    expires_at: int
    token: str = field(repr=False)

    def require(self, scope: str) -> None:
        """Raise InsufficientScope unless the token has the scope."""
        if scope not in self.scopes:
            raise errors.InsufficientScope(scope)


class Verifier(Protocol):
    """Verifies access tokens."""

    async def verify(self, token: str) -> Principal:
        """Return the principal; raise an Unauthenticated error or DependencyUnavailable."""
        ...


async def authenticate(verifier: Verifier, token: str) -> Principal:
    """Return the principal of a token, for whom this task works from now on; raises what ``verify`` raises."""
    principal = await verifier.verify(token)
    # A service calls for any number of users, who must not share what one of them may have.
    work_for(None if INTERNAL_SCOPE in principal.scopes else str(principal.user_id))
    return principal


def bearer_token(authorization: str | None) -> str:
    """Return the bearer token of an ``Authorization`` header; raise CredentialsMissing without one."""
    if not authorization:
        raise errors.CredentialsMissing
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.CredentialsMissing
    return token.strip()


def caller(*scopes: str) -> Callable[[Request], Awaitable[Principal]]:
    """Return a dependency that authenticates the caller and requires the scopes.

    The verifier is ``app.state.wired.verifier``.
    """

    async def dependency(request: Request) -> Principal:
        token = bearer_token(request.headers.get("authorization"))
        verifier: Verifier = request.app.state.wired.verifier
        principal = await authenticate(verifier, token)
        request.scope["parley"].user_id = str(principal.user_id)
        for scope in scopes:
            principal.require(scope)
        return principal

    return dependency
