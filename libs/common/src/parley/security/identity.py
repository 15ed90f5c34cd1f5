"""Who is asking: the principal of a request, and the dependency that finds and checks it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from fastapi import Request

from parley import errors

INTERNAL_SCOPE = "internal"
"""The scope of our own services, never granted to people."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever an access token speaks for. Times are seconds since the epoch."""

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
        """Raise InsufficientScope unless the scope was granted."""
        if scope not in self.scopes:
            raise errors.InsufficientScope(scope)


class Verifier(Protocol):
    """What turns a token into a principal (see ``parley.security.tokens``)."""

    async def verify(self, token: str) -> Principal:
        """Return the principal; raises an Unauthenticated error or DependencyUnavailable."""
        ...


def bearer_token(authorization: str | None) -> str:
    """Return the token of an Authorization header; raises CredentialsMissing or TokenInvalid."""
    if not authorization:
        raise errors.CredentialsMissing
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.CredentialsMissing
    return token.strip()


def caller(*scopes: str) -> Callable[[Request], Awaitable[Principal]]:
    """Return a dependency that verifies the access token and requires the scopes.

    The app's ``state.wired`` must have the Verifier as ``verifier``.
    """

    async def dependency(request: Request) -> Principal:
        token = bearer_token(request.headers.get("authorization"))
        verifier: Verifier = request.app.state.wired.verifier
        principal = await verifier.verify(token)
        request.scope["parley"].user_id = str(principal.user_id)
        for scope in scopes:
            principal.require(scope)
        return principal

    return dependency
