"""Ports of the services: one each for requests and one each for operators."""

import socket
from dataclasses import dataclass
from typing import Self

from parley_cli.settings import LocalSettings
from parley_embedded.errors import EmbeddedError

SERVICES = ("gateway", "auth", "chat", "history", "webhooks")
HOST = "127.0.0.1"
LOOPBACK_OF = {"0.0.0.0": HOST, "::": "::1"}  # noqa: S104 - compared, not listened on
"""Address of this machine by the address that stands for all of its addresses."""


@dataclass(frozen=True, slots=True)
class StackPorts:
    """Ports of the gateway. The other services use the four ports after each."""

    first: int = 8000
    first_admin: int = 9000
    host: str = HOST
    """Address on which the gateway listens; the other services listen on this machine only."""

    @classmethod
    def from_settings(cls, settings: LocalSettings) -> Self:
        """Return the ports that the settings choose."""
        return cls(settings.port, settings.admin_port, settings.host)

    def of(self, service: str) -> int:
        """Return the port of a service."""
        return self.first + SERVICES.index(service)

    def admin(self, service: str) -> int:
        """Return the admin port of a service."""
        return self.first_admin + SERVICES.index(service)

    def url(self, service: str) -> str:
        """Return the URL of a service on this machine."""
        return f"http://{HOST}:{self.of(service)}"

    def admin_url(self, service: str) -> str:
        """Return the URL of a service's admin port on this machine."""
        return f"http://{HOST}:{self.admin(service)}"

    def client_url(self) -> str:
        """Return the URL of the gateway for clients on this machine."""
        host = LOOPBACK_OF.get(self.host, self.host)
        return f"http://[{host}]:{self.first}" if ":" in host else f"http://{host}:{self.first}"

    def all(self) -> list[int]:
        """Return every port."""
        return [port for s in SERVICES for port in (self.of(s), self.admin(s))]


def require_free(ports: StackPorts) -> None:
    """Raise EmbeddedError when a port is in use."""
    taken = [port for port in ports.all() if not is_free(port, ports.host if port == ports.first else HOST)]
    if taken:
        named = ", ".join(map(str, taken))
        raise EmbeddedError(
            f"Another program uses port {named}. Stop it, or choose other ports: PORT=8100 ADMIN_PORT=9100 make run "
            "(options --port, --admin-port)."
        )


def is_free(port: int, host: str = HOST) -> bool:
    """Return whether a server can listen on the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
