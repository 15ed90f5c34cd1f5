"""Well-known documents: the JWKS and the authorization server metadata."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from auth.security.scopes import GRANTABLE_SCOPES
from auth.signing_keys.key_ring import KeyRing
from auth.signing_keys.schemas import JwksView, MetadataView
from auth.web.dependencies import provide
from parley.web.runtime import Runtime

router = APIRouter(prefix="/.well-known", tags=["tokens"])

CACHE_SECONDS = 300
"""A new signing key must be published for longer than this before it signs."""
CACHE_HEADERS = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}


@router.get("/jwks.json", response_model=JwksView)
async def jwks(keys: Annotated[KeyRing, Depends(provide(KeyRing))]) -> JSONResponse:
    """Return the public keys that verify access tokens (RFC 7517)."""
    return JSONResponse(keys.jwks(), headers=CACHE_HEADERS)


@router.get("/oauth-authorization-server", response_model=MetadataView)
async def metadata(request: Request) -> JSONResponse:
    """Return the metadata of the authorization server (RFC 8414)."""
    runtime: Runtime = request.app.state.runtime
    issuer = runtime.settings.issuer()
    auth = f"{issuer}/api/v1/auth"
    view = MetadataView(
        issuer=issuer,
        token_endpoint=f"{auth}/token",
        revocation_endpoint=f"{auth}/revoke",
        introspection_endpoint=f"{auth}/introspect",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        grant_types_supported=["password", "refresh_token"],
        response_types_supported=[],
        token_endpoint_auth_methods_supported=["none"],
        scopes_supported=sorted(GRANTABLE_SCOPES),
    )
    return JSONResponse(view.model_dump(), headers=CACHE_HEADERS)
