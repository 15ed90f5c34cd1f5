"""Subprotocols of the WebSocket of turns: its name, and the token, which browsers cannot send as a header."""

import contextlib

from starlette.websockets import WebSocket

from parley.errors import CredentialsMissing
from parley.security.identity import bearer_token

PROTOCOL = "parley.v1"
BEARER = "parley.bearer."


def offered_token(socket: WebSocket, offered: list[str]) -> str | None:
    """Return the token among the subprotocols, or that of the header; None if there is none."""
    for protocol in offered:
        if protocol.startswith(BEARER):
            return protocol.removeprefix(BEARER)
    with contextlib.suppress(CredentialsMissing):
        return bearer_token(socket.headers.get("authorization"))
    return None
