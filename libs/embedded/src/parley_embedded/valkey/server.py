"""Valkey or Redis as a child process."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.private_files import write_private
from parley_embedded.process.child import ServerCommand
from parley_embedded.process.environment import child_environment
from parley_embedded.secret_files import read_or_create_secret
from parley_embedded.sockets import SocketFolder, free_port
from parley_embedded.valkey.program import find_valkey

HINT = (
    "If its data is damaged, move {folder} away: limits and running answers start anew, and nothing else is lost. "
    "Or set REDIS_URL to use another server."
)
SOCKET_NAME = "valkey.sock"
PROBE_TIMEOUT = 2.0


class EmbeddedValkey(EmbeddedServer):
    """Valkey or Redis on a unix socket, or on 127.0.0.1 with `tcp`.

    `durable` writes an append-only file without syncing it to disk; `durable=False` stores nothing. `directives` are
    more lines of its configuration.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        tcp: bool = False,
        port: int | None = None,
        max_memory: str = "256mb",
        directives: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir)
        self._durable, self._tcp, self._max_memory, self._directives = durable, tcp, max_memory, directives
        self.port = (port or free_port()) if tcp else 0
        self._socket: SocketFolder | None = None

    @property
    def url(self) -> str:
        """The URL for redis-py, with the password."""
        password = read_or_create_secret(self.data_dir / "password")
        if self._tcp:
            return f"redis://:{password}@127.0.0.1:{self.port}/0"
        return f"unix://:{password}@{quote(str(self._socket_path))}?db=0"

    @property
    def _socket_folder(self) -> SocketFolder:
        if self._socket is None:
            self._socket = SocketFolder(self.data_dir, SOCKET_NAME)
        return self._socket

    @property
    def _socket_path(self) -> Path:
        return self._socket_folder.path / SOCKET_NAME

    async def prepare(self) -> ServerCommand:
        """Find the program and write its configuration."""
        program = find_valkey()
        configuration = self.data_dir / "valkey.conf"
        write_private(configuration, self._configuration())
        if not self._tcp:
            self._socket_folder.open()
        return ServerCommand(
            name="Valkey",
            arguments=[str(program), str(configuration)],
            folder=self.data_dir,
            environment=child_environment(),
            hint=HINT.format(folder=self.data_dir),
        )

    def _configuration(self) -> str:
        where = ["bind 127.0.0.1"] if self._tcp else [f'unixsocket "{self._socket_path}"', "unixsocketperm 700"]
        append = ["appendonly yes", "appendfsync no"] if self._durable else ["appendonly no"]
        lines = [
            *where,
            f"port {self.port}",
            f"requirepass {read_or_create_secret(self.data_dir / 'password')}",
            f'dir "{self.data_dir}"',
            'save ""',
            *append,
            f"maxmemory {self._max_memory}",
            "maxmemory-policy noeviction",
            "daemonize no",
            "loglevel notice",
            *self._directives,
        ]
        return "\n".join(lines) + "\n"

    async def is_ready(self) -> bool:
        """Return whether the server answers a ping, which it does after the append-only file is loaded."""
        client = Redis.from_url(self.url, socket_timeout=PROBE_TIMEOUT, socket_connect_timeout=PROBE_TIMEOUT)
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()

    async def stop(self) -> None:
        """Shut the server down, which writes its file, and remove the socket."""
        await super().stop()
        if self._socket is not None:
            self._socket.close()
