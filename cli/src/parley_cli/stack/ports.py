"""The eight ports of a stack: four for requests, four for operators."""

import socket
from dataclasses import dataclass

from parley_embedded.errors import EmbeddedError

SERVICES = ("gateway", "auth", "chat", "history")
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The gateway's port and the gateway's admin port; the other services have the three after each."""

    first: int = 8000
    first_admin: int = 9000

    def of(self, service: str) -> int:
        """Return the port of a service."""
        return self.first + SERVICES.index(service)

    def admin(self, service: str) -> int:
        """Return the admin port of a service."""
        return self.first_admin + SERVICES.index(service)

    def url(self, service: str) -> str:
        """Return where a service is reached on this machine."""
        return f"http://{HOST}:{self.of(service)}"

    def all(self) -> list[int]:
        """Return every port."""
        return [port for s in SERVICES for port in (self.of(s), self.admin(s))]


def require_free(ports: Ports) -> None:
    """Raise EmbeddedError when one of the ports is taken."""
    taken = [port for port in ports.all() if not is_free(port)]
    if taken:
        named = ", ".join(map(str, taken))
        raise EmbeddedError(
            f"In use by another program: port {named}. Stop it, "
            "or take others: make run ARGS='--port 8100 --admin-port 9100'."
        )


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
