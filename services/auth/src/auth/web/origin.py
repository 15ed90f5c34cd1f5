"""Request origin: the client address behind trusted proxies, and the actor for the audit log."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Depends, Request

from auth.audit.model import RequestOrigin
from auth.settings import Network
from auth.web.dependencies import provide
from parley.security.client_addresses import nearest_untrusted, parse_address
from parley.security.identity import Principal

MAX_USER_AGENT = 256
_GATEWAY = "1.1 parley"
"""The gateway's entry in ``Via``. It removes the header of clients, and adds its own to every request."""


class OriginResolver:
    """Determines the origin of requests; ``trusted`` are the networks of our own proxies."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def resolve(self, request: Request, principal: Principal | None = None) -> RequestOrigin:
        """Return the origin of a request; the principal, if any, is the actor."""
        peer = request.client.host if request.client else None
        agent = request.headers.get("user-agent")
        return RequestOrigin(
            actor_type="user" if principal else "anonymous",
            actor_id=principal.user_id if principal else None,
            address=client_address(peer, request.headers.getlist("x-forwarded-for"), self._trusted),
            user_agent=_printable(agent) if agent else None,
            request_id=request.scope["parley"].request_id,
        )


Origins = Annotated[OriginResolver, Depends(provide(OriginResolver))]


def came_through_gateway(request: Request) -> bool:
    """Return whether the gateway forwarded the request of a client; services send their own directly."""
    return _GATEWAY in request.headers.getlist("via")


def client_address(peer: str | None, forwarded: Iterable[str], trusted: Sequence[Network]) -> str | None:
    """Return the nearest address that is not a trusted proxy; a client can forge everything before it."""
    if peer is None:
        return None
    return nearest_untrusted(peer, ",".join(forwarded), lambda text: _is_trusted(text, trusted))


def _printable(text: str) -> str:
    return "".join(character for character in text[: 2 * MAX_USER_AGENT] if character.isprintable())[:MAX_USER_AGENT]


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = parse_address(text)
    return address is not None and any(address in network for network in trusted)
