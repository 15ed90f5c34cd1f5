"""Redis behind Sentinel: each new connection asks the Sentinels for the address of the master."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from parley.config.settings import SettingsError
from parley.storage.redis_connection import TcpConnection, TlsConnection

SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""Schemes of Sentinel URLs, and those with which the master is reached. Sentinels are reached without TLS."""
DEFAULT_PORT = 26379
ASK_TIMEOUT = 0.5
"""Seconds to ask one Sentinel, before the next one is asked."""
FORM = "redis+sentinel://user:password@sentinel1:26379,sentinel2:26379/service"
_CREDENTIALS = {"sentinel_username": "username", "sentinel_password": "password"}  # nosec B105
"""Query parameters of the Sentinels' own credentials."""


class Sentinels:
    """The Sentinels of one master. The one that answered last is asked first."""

    def __init__(self, addresses: list[tuple[str, int]], service: str, credentials: dict[str, Any]) -> None:
        self._addresses, self._service, self._credentials = addresses, service, credentials

    async def master(self) -> tuple[str, int]:
        """Return host and port of the master; raise ConnectionError of redis-py if no Sentinel knows it."""
        for address in list(self._addresses):
            try:
                found = await self._ask(*address)
            except (RedisError, OSError):
                continue
            if found is not None:
                self._addresses.remove(address)
                self._addresses.insert(0, address)
                return found
        raise RedisConnectionError("No Sentinel knows the master.")

    async def _ask(self, host: str, port: int) -> tuple[str, int] | None:
        connection = TcpConnection(
            host=host,
            port=port,
            socket_timeout=ASK_TIMEOUT,
            socket_connect_timeout=ASK_TIMEOUT,
            driver_info=None,  # as in the pool: see open_redis
            **self._credentials,
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            reply = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return (reply[0].decode(), int(reply[1])) if reply else None


class _MasterAddress(AbstractConnection):
    """Overrides for both kinds of connection."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.master()
        await super()._connect()  # type: ignore[safe-super,no-untyped-call]


class _MasterConnection(_MasterAddress, TcpConnection):
    pass


class _TlsMasterConnection(_MasterAddress, TlsConnection):
    pass


MASTER_CLASSES: dict[type[AbstractConnection], type[AbstractConnection]] = {
    TcpConnection: _MasterConnection,
    TlsConnection: _TlsMasterConnection,
}
"""The class to use in place of one that connects to a fixed address."""


def parse_sentinel_url(url: str) -> tuple[str, Sentinels] | None:
    """Return the URL of a master at a placeholder address, and its Sentinels. None for every other URL.

    Raise SettingsError for a Sentinel URL without addresses or without the name of the service.
    """
    scheme = url.partition(":")[0].lower()
    if scheme not in SCHEMES:
        return None
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    try:
        addresses = [_address(host) for host in hosts.split(",") if host]
    except ValueError:
        addresses = []
    if not addresses or not service:
        raise SettingsError(f"REDIS_URL: a Sentinel URL has the form {FORM}")
    query = dict(parse_qsl(parts.query))
    credentials: dict[str, Any] = {name: query.pop(given) for given, name in _CREDENTIALS.items() if given in query}
    master = f"{SCHEMES[scheme]}://{f'{user}@' if user else ''}sentinel/{database}"
    return f"{master}?{urlencode(query)}" if query else master, Sentinels(addresses, service, credentials)


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or DEFAULT_PORT
