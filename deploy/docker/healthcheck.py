# ruff: noqa: INP001 - a program of the image, not a package
"""Health check of the container: exit status 0 when a path of the admin port returns 200.

It runs in each container every few seconds, and importing http.client costs more than the rest.
"""

import os
import socket
import sys

OK = "200"


def main() -> int:
    """Request the path once and return the exit status."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/health"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", int(os.environ["ADMIN_PORT"])), timeout=2) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as response:
                status_line = response.readline(1000).decode("latin-1").split()
    except OSError:
        return 1
    return int(status_line[1:2] != [OK])


if __name__ == "__main__":
    sys.exit(main())
