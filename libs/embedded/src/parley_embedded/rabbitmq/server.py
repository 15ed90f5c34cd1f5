"""RabbitMQ node with its own ports, folder, cookie and name server (epmd)."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

from aio_pika import connect
from aio_pika.exceptions import AMQPError, AuthenticationError, ProbableAuthenticationError

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.binaries.debian import library_folders
from parley_embedded.errors import EmbeddedError
from parley_embedded.private_files import write_private
from parley_embedded.process.child import ChildProcess, ServerCommand
from parley_embedded.process.environment import child_environment
from parley_embedded.process.tool import run_tool
from parley_embedded.rabbitmq.install import ERL_ROOT_VARIABLE, HINT, SYSTEM_ROOT, server_scripts
from parley_embedded.secret_files import read_or_create_secret
from parley_embedded.sockets import accepts_connections, free_port

USER = "parley"
NODE, HOST = "parley", "localhost"
COOKIE = ".erlang.cookie"
# Minimal systems have no /etc/hosts; Erlang would not find the node's own host there.
NAMES = '{host, {127,0,0,1}, ["localhost"]}.\n{lookup, [file, native]}.\n'
LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"
# Erlang allocates a table entry for every file it may open, which is a million in some containers.
OPEN_FILES = 4096
CONTROL_TIMEOUT = 120.0
PROBE_TIMEOUT = 5.0
EPMD_TIMEOUT = 60.0


class EmbeddedRabbitMQ(EmbeddedServer):
    """RabbitMQ from the files in `root` (see `ensure_rabbitmq`). A restart keeps the ports.

    `first` is the running first node of a cluster, which this node joins at its first start: the two share user, cookie
    and name server. Each node of a cluster has another `node` name.
    """

    start_timeout = 90.0

    def __init__(
        self,
        root: Path,
        data_dir: Path,
        *,
        port: int | None = None,
        memory_limit: str = "400MB",
        node: str = NODE,
        first: "EmbeddedRabbitMQ | None" = None,
    ) -> None:
        super().__init__(data_dir)
        self.port = port or free_port()
        self.node = f"{node}@{HOST}"
        self._root = root.absolute()
        self._memory_limit, self._first = memory_limit, first
        self._node_port = free_port()
        self.name_server_port: int = first.name_server_port if first else free_port()
        self._epmd: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The AMQP address of the virtual host `/`, credentials included."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/"

    @property
    def password(self) -> str:
        """The password of the only user."""
        return self._first.password if self._first else read_or_create_secret(self.data_dir / "password")

    async def prepare(self) -> ServerCommand:
        """Write the files and start the name server, which the node would otherwise start as an endless daemon."""
        scripts = server_scripts(self._root)
        self._write_files()
        await self._start_epmd()
        return ServerCommand(
            name="RabbitMQ",
            arguments=[str(scripts / "rabbitmq-server")],
            folder=self.data_dir,
            environment=self._environment(),
            stop_sequence=((signal.SIGTERM, 30.0),),
            open_files=OPEN_FILES,
            hint=HINT,
        )

    def _write_files(self) -> None:
        cookie = self.data_dir / COOKIE
        if self._first:
            cookie.unlink(missing_ok=True)  # that of an earlier start is read-only
            write_private(cookie, read_or_create_secret(self._first.data_dir / COOKIE))
        else:
            read_or_create_secret(cookie)
        cookie.chmod(0o400)
        write_private(self.data_dir / "plugins", "[].\n")
        write_private(self.data_dir / "inetrc", NAMES)
        lines = [
            f"listeners.tcp.default = 127.0.0.1:{self.port}",
            f"default_user = {USER}",
            f"default_pass = {self.password}",
            "disk_free_limit.absolute = 50MB",
            f"vm_memory_high_watermark.absolute = {self._memory_limit}",
            "log.console.level = warning",
        ]
        if self._first:
            nodes = (self._first.node, self.node)
            lines += [f"cluster_formation.classic_config.nodes.{n} = {node}" for n, node in enumerate(nodes, 1)]
        write_private(self.data_dir / "rabbitmq.conf", "\n".join(lines) + "\n")

    async def _start_epmd(self) -> None:
        if self._first or (self._epmd is not None and self._epmd.running):
            return
        command = ServerCommand(
            name="epmd",
            arguments=["epmd", "-port", str(self.name_server_port), "-address", "127.0.0.1"],
            folder=self.data_dir,
            environment=self._environment(),
            open_files=OPEN_FILES,
            hint=HINT,
        )
        self._epmd = ChildProcess(command)
        await self._epmd.start()
        await self._epmd.wait_until(self._epmd_is_ready, EPMD_TIMEOUT)

    async def _epmd_is_ready(self) -> bool:
        return await accepts_connections(self.name_server_port)

    def _environment(self) -> dict[str, str]:
        folder, libraries = self.data_dir, library_folders(self._root)
        kept = child_environment()
        if self._root != SYSTEM_ROOT:
            kept["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
        return kept | {
            "HOME": str(folder),
            "PATH": f"{self._root / 'usr/bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            ERL_ROOT_VARIABLE: str(self._root / "usr/lib/erlang"),
            "ERL_EPMD_PORT": str(self.name_server_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_INETRC": str(folder / "inetrc"),
            # Makes the start script replace itself with the node, so that signals reach the node.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "node.pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": LOOPBACK_ONLY,
            "RABBITMQ_CTL_ERL_ARGS": LOOPBACK_ONLY,
        }

    async def is_ready(self) -> bool:
        """Return whether a client can log in; raise EmbeddedError when the node refuses the password."""
        # aio-pika logs an error for each refused connection, and a starting node refuses connections for seconds.
        if not await accepts_connections(self.port):
            return False
        try:
            connection = await connect(self.url, timeout=PROBE_TIMEOUT)
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise EmbeddedError(
                f"RabbitMQ refuses the password in {self.data_dir / 'password'}, because the node was created with "
                f"another one. Restore that file, or remove {self.data_dir / 'mnesia'}: its messages are lost. {HINT}"
            ) from error
        except (OSError, AMQPError):
            return False
        await connection.close()
        return True

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return its output; raise EmbeddedError when it fails."""
        program = str(server_scripts(self._root) / "rabbitmqctl")
        status, output = await run_tool(
            program, *arguments, seconds=CONTROL_TIMEOUT, folder=self.data_dir, environment=self._environment()
        )
        if status != 0:
            raise EmbeddedError(f"rabbitmqctl {' '.join(arguments[:1])} failed: {output[-300:]}")
        return output

    async def wipe(self) -> None:
        """Delete all data of the stopped node, as the loss of a volume does."""
        if self.running:
            raise EmbeddedError("RabbitMQ is running. Stop it before deleting its data.")
        await asyncio.to_thread(shutil.rmtree, self.data_dir / "mnesia", ignore_errors=True)

    async def stop(self) -> None:
        """Shut the node down, then its name server."""
        await super().stop()
        if self._epmd is not None:
            await self._epmd.stop()

    def abandon(self) -> None:
        """Kill the node and its name server without an event loop."""
        super().abandon()
        if self._epmd is not None:
            self._epmd.abandon()
