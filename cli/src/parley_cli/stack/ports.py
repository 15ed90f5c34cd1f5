"""Ports of the services: one each for requests and one each for operators."""

import socket
from dataclasses import dataclass

from parley_embedded.errors import EmbeddedError

SERVICES = ("gateway", "auth", "chat", "history")
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class StackPorts:
    """Ports of the gateway. The other services use the three ports after each."""

    first: int = 8000
    first_admin: int = 9000

    def of(self, service: str) -> int:
        """Return the port of a service."""
        return self.first + SERVICES.index(service)

    def admin(self, service: str) -> int:
        """Return the admin port of a service."""
        return self.first_admin + SERVICES.index(service)

    def url(self, service: str) -> str:
        """Return the URL of a service on this machine."""
        return f"http://{HOST}:{self.of(service)}"

    def all(self) -> list[int]:
        """Return every port."""
        return [port for s in SERVICES for port in (self.of(s), self.admin(s))]


def require_free(ports: StackPorts) -> None:
    """Raise EmbeddedError when a port is in use."""
    taken = [port for port in ports.all() if not is_free(port)]
    if taken:
        named = ", ".join(map(str, taken))
        raise EmbeddedError(
            f"Another program uses port {named}. Stop it, "
            "or choose other ports: make run ARGS='--port 8100 --admin-port 9100'."
        )


def is_free(port: int) -> bool:
    """Return whether a server can listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
