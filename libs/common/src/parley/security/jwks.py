"""Fetching auth's JWKS over HTTP."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from parley.security.tokens import KeySet, TokenVerifier
from parley.web.http_client import open_client

FETCH_TIMEOUT = 2.0


@contextlib.asynccontextmanager
async def open_verifier(jwks_url: str, *, issuer: str) -> AsyncIterator[TokenVerifier]:
    """Open a verifier that reads its keys from ``jwks_url``."""
    async with open_client(read_timeout=FETCH_TIMEOUT, max_connections=2) as client:

        async def fetch() -> Mapping[str, Any]:
            response = await client.get(jwks_url)
            response.raise_for_status()
            document: Mapping[str, Any] = response.json()
            return document

        yield TokenVerifier(KeySet(fetch), issuer=issuer)
