"""Connections to Redis that fail when the server is lost, or answers that it cannot serve now.

Everything here overrides undocumented methods of redis-py: ``pyproject.toml`` caps its version, and
``test_redis_connection.py`` fails when one of them changes.
"""

import re
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from parley.process.sockets import PEER_TIMEOUT, set_options

_REFUSAL = re.compile(
    r"(?:\A|: -)(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|CROSSSLOT"
    r"|NOREPLICAS|MISCONF|OOM|BUSY|NOAUTH)\b"
)
"""Codes of error replies, and of those inside the error reply to a script of Redis 6."""
_CLUSTER = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN", "CROSSSLOT"})


class ServerRefused(RedisConnectionError):
    """The server answers that it is the wrong node, or that it cannot serve now; another connection may help."""


def refusal_of(reply: ResponseError) -> ServerRefused | None:
    """Return the exception for an error reply that is about the server, None for every other one."""
    found = _REFUSAL.search(reply.status_code or "") or _REFUSAL.search(str(reply))
    if not found:
        return None
    hint = " Parley does not support Redis Cluster." if found[1] in _CLUSTER else ""
    return ServerRefused(f"Redis answered {found[1]}.{hint}")


class _LossDetection(AbstractConnection):
    """Overrides for every kind of connection."""

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[safe-super,no-untyped-call]
        assert self._writer is not None
        set_options(self._writer.transport.get_extra_info("socket"), PEER_TIMEOUT.loss_detection())

    async def can_read(self) -> bool:
        """Return whether an idle connection is unusable: it has data, or it was closed or reset.

        redis-py notices the end of a connection, but not a reset.
        """
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or reader.exception() is not None or writer.transport.is_closing():
            return True
        return bool(await super().can_read())

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Send a command.

        On a closed transport, uvloop raises RuntimeError, asyncio of Python 3.13 TypeError, and others nothing.
        """
        writer = self._writer
        if writer is not None and writer.transport.is_closing():
            await self.disconnect(nowait=True)
            raise RedisConnectionError("The connection is closed.")
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            raise RedisConnectionError("The connection is closed.") from error

    async def _read_response_from_parser(self, *args: Any, **options: Any) -> Any:
        """Return the next reply.

        An error of the socket is not the end of the caller's wait: ``OSError(ETIMEDOUT)`` is a TimeoutError, for which
        redis-py returns None, as if no message had arrived yet.
        """
        try:
            reply = await super()._read_response_from_parser(*args, **options)
        except OSError as error:
            raise RedisConnectionError(f"The connection failed: {type(error).__name__}.") from error
        if isinstance(reply, ResponseError) and (refusal := refusal_of(reply)) is not None:
            raise refusal from reply
        return reply


class TcpConnection(_LossDetection, Connection):
    """A connection over TCP."""


class TlsConnection(_LossDetection, SSLConnection):
    """A connection over TLS."""


class _UnixConnection(_LossDetection, UnixDomainSocketConnection):
    pass


CONNECTION_CLASSES: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}
"""The class to use in place of each class of redis-py."""
