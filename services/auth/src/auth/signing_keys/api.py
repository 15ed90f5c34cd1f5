"""What verifiers and OAuth2 clients read before anything else."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from auth.security.scopes import GRANTABLE
from auth.signing_keys.schemas import JwksView, MetadataView

router = APIRouter(prefix="/.well-known", tags=["tokens"])

CACHE_SECONDS = 300
"""How long verifiers may keep the documents; a new signing key is published for longer before it signs."""
CACHED = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}


@router.get("/jwks.json", response_model=JwksView)
async def jwks(request: Request) -> JSONResponse:
    """Return the keys that verify access tokens (RFC 7517)."""
    return JSONResponse(request.app.state.wired.keys.jwks(), headers=CACHED)


@router.get("/oauth-authorization-server", response_model=MetadataView)
async def metadata(request: Request) -> JSONResponse:
    """Return the authorization server's metadata (RFC 8414)."""
    issuer = request.app.state.runtime.settings.issuer()
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
        scopes_supported=sorted(GRANTABLE),
    )
    return JSONResponse(view.model_dump(), headers=CACHED)
