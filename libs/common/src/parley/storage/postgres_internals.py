"""The socket of a Postgres connection, which asyncpg does not offer: ``pyproject.toml`` caps its version."""

from typing import Any

from parley.process.sockets import PEER_TIMEOUT, set_options


def detect_loss(connection: Any) -> None:
    """Let the kernel report a lost server to a connection, pooled or not."""
    own = getattr(connection, "_con", connection)
    set_options(own._transport.get_extra_info("socket"), PEER_TIMEOUT.loss_detection())  # noqa: SLF001 - has no public name
