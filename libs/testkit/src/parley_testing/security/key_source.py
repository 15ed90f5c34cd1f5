"""Source of public keys for tests of token verification."""

from collections.abc import Mapping
from typing import Any

from parley_testing.security.token_issuer import TestIssuer


class FakeKeySource:
    """Returns the keys of the issuers, counts the fetches, and can be down."""

    def __init__(self, *issuers: TestIssuer) -> None:
        self.issuers = list(issuers)
        self.fetches = 0
        self.is_down = False

    async def __call__(self) -> Mapping[str, Any]:
        self.fetches += 1
        if self.is_down:
            raise ConnectionError
        return {"keys": [key for issuer in self.issuers for key in issuer.jwks()["keys"]]}
