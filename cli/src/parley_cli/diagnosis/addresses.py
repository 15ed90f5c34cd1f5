"""Addresses of the checked system, from settings: hosts that speak TLS, and the replicas behind a name."""

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit, urlunsplit

DEFAULT_PORTS = {"https": 443, "rediss": 6379, "amqps": 5671, "postgres": 5432, "postgresql": 5432}
ENCRYPTED_MODES = frozenset({"require", "verify-ca", "verify-full"})
MAX_REPLICAS = 32
"""Addresses of one name that are checked."""


@dataclass(frozen=True, slots=True)
class TlsAddress:
    """A host and port that has a certificate; Postgres begins without TLS."""

    host: str
    port: int
    postgres: bool


def tls_address(url: str) -> TlsAddress | None:
    """Return where the certificate of a URL is, or None for a URL without TLS or with several hosts."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    postgres = parts.scheme in {"postgres", "postgresql"}
    encrypted = set(parse_qs(parts.query).get("sslmode", ())) & ENCRYPTED_MODES if postgres else {parts.scheme}
    if not host or "," in parts.netloc.rpartition("@")[2] or not encrypted:
        return None
    default = DEFAULT_PORTS.get(parts.scheme)
    return TlsAddress(host, port or default, postgres) if default else None


async def replicas(url: str) -> list[str]:
    """Return the URL of each address behind the name of an `http://` URL; a headless service has several."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return [url]
    found = await asyncio.get_running_loop().getaddrinfo(
        parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    hosts = sorted({str(address[4][0]) for address in found})[:MAX_REPLICAS]
    if len(hosts) < 2:  # noqa: PLR2004 - one replica keeps its name
        return [url]
    return [urlunsplit(parts._replace(netloc=f"{host}:{parts.port or 80}")) for host in hosts]
