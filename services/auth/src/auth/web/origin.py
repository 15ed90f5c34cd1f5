"""Where a request comes from: the address behind our own proxies, and what the audit log records of it."""

import ipaddress
from collections.abc import Iterable, Sequence

from fastapi import Request

from auth.model import Origin
from parley.security.identity import Principal

MAX_USER_AGENT = 256
MAX_HOPS = 32
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded: Iterable[str], trusted: Sequence[Network]) -> str | None:
    """Return the nearest address that is not one of our proxies: what is left of it anybody can have written."""
    hops = [hop.strip() for value in forwarded for hop in value.split(",")][-MAX_HOPS:]
    found = peer
    while found is not None and hops and _is_trusted(found, trusted):
        following = _address(hops.pop())
        if following is None:
            break
        found = following
    return found


def origin_of(request: Request, principal: Principal | None = None) -> Origin:
    """Return the origin of a request, acting for the principal if there is one."""
    peer = request.client.host if request.client else None
    address = client_address(peer, request.headers.getlist("x-forwarded-for"), request.app.state.wired.proxies)
    agent = request.headers.get("user-agent")
    return Origin(
        actor_type="user" if principal else "anonymous",
        actor_id=principal.user_id if principal else None,
        address=address,
        user_agent=_clean(agent) if agent else None,
        request_id=request.scope["parley"].request_id,
    )


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_USER_AGENT]


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(ipaddress.ip_address(address) in network for network in trusted)


def _address(text: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
