"""Client addresses: the peer's address, or the one that a trusted proxy reports."""

import functools
import ipaddress
from collections.abc import Iterable

from gateway.request import ClientAddress, Request
from gateway.server.framing import HOST
from gateway.settings import GatewaySettings, split_list
from parley.config.settings import SettingsError
from parley.ratelimit.limiter import Limit
from parley.security.client_addresses import nearest_untrusted, parse_address

MAX_CACHED, MAX_CACHED_LENGTH = 10_000, 100
"""Cached results, and the longest ``X-Forwarded-For`` whose result is cached."""
MINUTE = 60
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientAddresses:
    """Finds the address of a client behind trusted proxies. Recent results are cached."""

    def __init__(self, trusted_proxies: Iterable[str], *, per_minute: int) -> None:
        """Take networks in CIDR notation. Raise SettingsError for an invalid one."""
        self._trusted = [_parse_network(text) for text in trusted_proxies]
        self._per_minute = per_minute
        self._client = functools.lru_cache(maxsize=MAX_CACHED)(self._make_client)
        self._behind_proxy = functools.lru_cache(maxsize=MAX_CACHED)(self._find_client)
        self._is_trusted = functools.lru_cache(maxsize=MAX_CACHED)(self._is_in_trusted_network)

    def locate(self, request: Request) -> None:
        """Set the client address of a request and, behind a trusted proxy, its scheme and host."""
        found, peer = request.used_headers, request.peer
        if b"x-forwarded-for" in found and self.trusts(peer):
            request.client = self.client(peer, found[b"x-forwarded-for"].decode("latin-1"))
            scheme, host = (_last(found.get(name)) for name in (b"x-forwarded-proto", b"x-forwarded-host"))
            if scheme.lower() in {b"http", b"https"}:
                request.scheme = scheme.lower()
            if host and HOST.match(host):  # it is written into quotes of the Forwarded header
                request.host = host
        else:
            request.client = self._client(peer)

    def trusts(self, peer: str) -> bool:
        """Return whether the ``X-Forwarded-*`` headers of this peer are used."""
        return bool(self._trusted) and self._is_trusted(peer)

    def connection_subject(self, peer: str) -> str | None:
        """Return the subject that the connections of a peer count on. None for a trusted proxy or a Unix socket."""
        return None if not peer or self.trusts(peer) else limit_subject(peer)

    def client(self, peer: str, forwarded_for: str = "") -> ClientAddress:
        """Return the right-most address that is not a trusted proxy."""
        if not forwarded_for:
            return self._client(peer)
        return (self._behind_proxy if len(forwarded_for) <= MAX_CACHED_LENGTH else self._find_client)(
            peer, forwarded_for
        )

    def _find_client(self, peer: str, forwarded_for: str) -> ClientAddress:
        return self._client(nearest_untrusted(peer, forwarded_for, self.trusts))

    def _is_in_trusted_network(self, peer: str) -> bool:
        address = parse_address(peer)
        return address is not None and any(address in network for network in self._trusted)

    def _make_client(self, text: str) -> ClientAddress:
        address, subject = parse_address(text), limit_subject(text)
        text = "unknown" if address is None else str(address)
        burst = self._per_minute
        limits = [Limit("address", subject, self._per_minute, MINUTE, burst, strict) for strict in (False, True)]
        node = f'"[{text}]"' if ":" in text else text
        return ClientAddress(text, (limits[0],), (limits[1],), node.encode("ascii", "replace"))


def client_addresses(settings: GatewaySettings) -> ClientAddresses:
    """Return the client addresses of a gateway. Raise SettingsError for an invalid TRUSTED_PROXIES."""
    return ClientAddresses(split_list(settings.trusted_proxies), per_minute=settings.anonymous_rate_limit)


def limit_subject(text: str) -> str:
    """Return the key under which an address is rate limited: the whole IPv4 address, or the /64 network of IPv6."""
    address = parse_address(text)
    if address is None:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def _last(entries: bytes | None) -> bytes:
    """Return the entry of the nearest proxy."""
    return (entries or b"").rpartition(b",")[2].strip()


def _parse_network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(f"TRUSTED_PROXIES: {text} is not a network in CIDR notation") from None
