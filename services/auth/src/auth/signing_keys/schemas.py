"""Response bodies of the well-known documents."""

from parley.web.schemas import ResponseBody


class JwksView(ResponseBody):
    """The public halves of the signing keys (RFC 7517)."""

    keys: list[dict[str, str]]


class MetadataView(ResponseBody):
    """The metadata of the authorization server (RFC 8414)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    scopes_supported: list[str]
