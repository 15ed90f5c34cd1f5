"""Token verifier that also checks revocations."""

from auth.revocations.service import RevocationService
from parley.errors import TokenRevoked
from parley.security.identity import Principal, Verifier


class RevocationCheckingVerifier:
    """Verifies tokens, then checks the stored revocations instead of the cache that gateways read."""

    def __init__(self, signatures: Verifier, revocations: RevocationService) -> None:
        self._signatures, self._revocations = signatures, revocations

    async def verify(self, token: str) -> Principal:
        """Return the principal of a token; raises an Unauthenticated error or DependencyUnavailable."""
        principal = await self._signatures.verify(token)
        if await self._revocations.is_revoked(principal):
            raise TokenRevoked
        return principal
