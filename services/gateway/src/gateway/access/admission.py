"""May this request go on: its credential, its scope, and what the guard says."""

from gateway.access.credentials import Credentials
from gateway.access.policy import Guard
from gateway.request import Caller, Request
from gateway.routes import Route
from parley import errors


class Admission:
    """Lets requests in, and who renews a credential over an open socket."""

    def __init__(self, credentials: Credentials, guard: Guard) -> None:
        self._credentials, self._guard = credentials, guard

    async def admit(self, request: Request, route: Route) -> None:
        """Check credential, scope, revocation and limits; raises what refuses."""
        if route.scope is None:
            await self._guard.admit_anonymous(request, route)
            return
        try:
            caller = request.caller = await self._credentials.identify(request)
        except (errors.Unauthenticated, errors.AmbiguousCredentials):
            await self._guard.count_failure(request)
            raise
        await self._guard.admit_caller(request, route, caller)
        if route.scope:
            caller.principal.require(route.scope)

    async def renew(self, request: Request, route: Route, token: str) -> Caller:
        """Check a token that came over an open socket; raises what refuses it, and TokenInvalid for another person's.

        It is counted and looked up among the revoked like the credential of a request.
        """
        try:
            caller = await self._credentials.caller_of(token)
            if request.caller is not None and request.caller.user != caller.user:
                raise errors.TokenInvalid
        except errors.Unauthenticated:
            await self._guard.count_failure(request)
            raise
        await self._guard.admit_caller(request, route, caller)
        return caller
