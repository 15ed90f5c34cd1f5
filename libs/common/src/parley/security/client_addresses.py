"""Addresses of clients as proxies report them: one reading for every service."""

import ipaddress
import re
from collections.abc import Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_HOPS = 32
"""Entries of ``X-Forwarded-For`` that are read, from the right."""
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::\d{1,5})?\Z")
_WITH_PORT = re.compile(r"([0-9.]+):\d{1,5}\Z")


def parse_address(text: str) -> Address | None:
    """Return the address of an entry of ``X-Forwarded-For``, or None if it has none.

    An entry may be quoted and may have a port, as ``192.0.2.1:4711``, ``[2001:db8::1]:4711`` or ``"[2001:db8::1]"``.
    An IPv4 address within IPv6 is returned as IPv4.
    """
    text = text.strip().strip('"')
    found = _BRACKETED.match(text) or _WITH_PORT.match(text)
    try:
        address = ipaddress.ip_address(found[1] if found else text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def nearest_untrusted(peer: str, forwarded_for: str, trusts: Callable[[str], bool]) -> str:
    """Return the right-most address that is not a trusted proxy. A client can forge everything before it."""
    found, rest = peer, forwarded_for
    for _ in range(MAX_HOPS):
        if not rest or not trusts(found):
            break
        rest, _comma, hop = rest.rpartition(",")
        address = parse_address(hop)
        if address is None:
            break
        found = str(address)
    return found
