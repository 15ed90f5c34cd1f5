# ruff: noqa: INP001 - a program of the image, not a package
"""Exit 0 if the admin port of this container says that the process is alive."""

import http.client
import os
import sys


def main() -> int:
    """Ask once; returns the exit status."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["ADMIN_PORT"]), timeout=2)
    try:
        connection.request("GET", sys.argv[1] if len(sys.argv) > 1 else "/health")
        return int(connection.getresponse().status != http.client.OK)
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
