"""Targets of deliveries: which URLs are valid, and to which addresses a connection may be opened."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Networks that are not on the internet, or reach another address inside a packet: RFC 6890 and its registries.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a service of the host for virtual machines in Azure
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""IPv4-mapped, NAT64, unique local, link-local and multicast addresses are all outside of it."""
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(each)
    for each in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


class TargetRefused(OSError):
    """The address, or the URL, is not one to which webhooks may connect."""


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """URLs and addresses that webhooks may use."""

    allow_http: bool = False
    allowed_networks: Sequence[Network] = ()

    def read_url(self, text: str) -> URL:
        """Return the URL as it is requested; raises ValueError with a sentence for the client."""
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("Must be a URL in ASCII, without spaces.")
        try:
            url = URL(str(URL(text)))  # what is stored is read again: "[:443]" has a host, and ":443" has none
            host, _ = url.host, url.port
        except (ValueError, IndexError):  # yarl raises an IndexError for "[]@"
            raise ValueError("Must be a valid URL.") from None
        if url.scheme != "https" and not (self.allow_http and url.scheme == "http"):
            raise ValueError("Must be an https:// URL.")
        if not host:
            raise ValueError("Must have a host.")
        if url.user is not None or url.password is not None:
            raise ValueError("Must not contain a user name or password.")
        if url.raw_fragment:
            raise ValueError("Must not have a fragment.")
        literal = _literal(host)
        if literal is not None and not self.permits(literal):
            raise ValueError("Must be on the internet: this address is private or reserved.")
        return url

    def permits(self, address: Address) -> bool:
        """Return whether a connection to the address may be opened."""
        if any(address in network for network in self.allowed_networks if network.version == address.version):
            return True
        if isinstance(address, ipaddress.IPv4Address):
            return not any(address in network for network in _REFUSED_V4)
        return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)

    def open_socket(self, target: tuple[object, ...]) -> socket.socket:
        """Return a socket for one entry of ``getaddrinfo``; raises TargetRefused.

        The client connects to exactly the address that is checked here, so a name cannot change in between.
        """
        family, kind, protocol, _, peer = target
        assert isinstance(peer, tuple)
        if not self.permits(ipaddress.ip_address(str(peer[0]).partition("%")[0])):
            raise TargetRefused("the address is private or reserved")
        found = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
        found.setblocking(False)
        return found


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
