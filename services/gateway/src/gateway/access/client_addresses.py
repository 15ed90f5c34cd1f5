"""Whose address a request comes from: the peer's, or what a trusted proxy says."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from parley.config.settings import SettingsError
from parley.ratelimit.limiter import Limit

MAX_KEPT = 10_000
MINUTE = 60
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Client:
    """The address of a client, the limits on it, and how it is written in ``Forwarded``."""

    text: str
    limits: tuple[Limit, ...]
    strict_limits: tuple[Limit, ...]
    node: bytes


class AddressBook:
    """Knows the trusted proxies, and remembers the clients seen last."""

    def __init__(self, trusted: Iterable[str], *, per_minute: int) -> None:
        """Take networks as CIDR; raises SettingsError for one that is none."""
        self._trusted = [_network(text) for text in trusted]
        self._per_minute = per_minute
        self._clients: dict[str, Client] = {}
        self._trusts: dict[str, bool] = {}

    def trusts(self, peer: str) -> bool:
        """Say whether the peer's X-Forwarded-* headers are believed."""
        if not self._trusted:
            return False
        known = self._trusts.get(peer)
        if known is None:
            address = _address(peer)
            known = address is not None and any(address in network for network in self._trusted)
            _keep(self._trusts, peer, known)
        return known

    def client(self, peer: str, forwarded_for: str = "") -> Client:
        """Return the client: the right-most address that is no trusted proxy."""
        found = peer
        if forwarded_for and self.trusts(peer):
            for hop in reversed([part.strip() for part in forwarded_for.split(",")]):
                if _address(hop) is None:
                    break
                found = hop
                if not self.trusts(hop):
                    break
        client = self._clients.get(found)
        if client is None:
            client = self._make(found)
            _keep(self._clients, found, client)
        return client

    def _make(self, text: str) -> Client:
        subject = limit_subject(text)
        burst = self._per_minute
        limits = [Limit("address", subject, self._per_minute, MINUTE, burst, strict) for strict in (False, True)]
        node = f'"[{text}]"' if ":" in text else text
        return Client(text, (limits[0],), (limits[1],), node.encode("ascii", "replace"))


def limit_subject(text: str) -> str:
    """Return what of an address is limited: all of IPv4, the /64 of IPv6."""
    address = _address(text)
    if address is None:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(f"TRUSTED_PROXIES: {text} is no network") from None


def _keep(kept: dict[str, Any], key: str, value: object) -> None:
    if len(kept) >= MAX_KEPT:
        kept.clear()
    kept[key] = value
