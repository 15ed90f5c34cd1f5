# ruff: noqa: INP001 - a program of the image, not a package
"""Health check of the container: exit status 0 when a path of the admin port returns 200."""

import http.client
import os
import sys


def main() -> int:
    """Request the path once and return the exit status."""
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
