"""A RabbitMQ node of our own: private ports, folder, cookie and epmd."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

from aio_pika import connect
from aio_pika.exceptions import AMQPError

from parley_embedded.binaries.debian import library_folders
from parley_embedded.errors import EmbeddedError
from parley_embedded.process.child import ChildProcess, Command
from parley_embedded.process.tool import run_tool
from parley_embedded.rabbitmq.install import ERL_ROOT_VARIABLE, HINT, SYSTEM, server_scripts
from parley_embedded.secret_files import kept_secret, write_private
from parley_embedded.server import EmbeddedServer
from parley_embedded.sockets import free_port, port_answers

USER = "parley"
NODE = "parley@localhost"
ONLY_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
# Erlang allocates a table for every file it may open; in containers that may be a million.
OPEN_FILES = 4096
CONTROL_SECONDS = 30.0
PROBE_SECONDS = 5.0
EPMD_SECONDS = 10.0


class PrivateRabbitMQ(EmbeddedServer):
    """A node below `root` (see `ensure_rabbitmq`), data in `data_dir`; a restart keeps the ports."""

    start_seconds = 90.0

    def __init__(self, root: Path, data_dir: Path, *, port: int | None = None, memory_limit: str = "400MB") -> None:
        super().__init__(data_dir)
        self.port = port or free_port()
        self._root = root.absolute()
        self._memory_limit = memory_limit
        self._node_port, self._epmd_port = free_port(), free_port()
        self._epmd: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The AMQP address of the virtual host `/`, credentials included."""
        return f"amqp://{USER}:{kept_secret(self.data_dir / 'password')}@127.0.0.1:{self.port}/"

    async def prepare(self) -> Command:
        """Write cookie and configuration and start the node's own name server (else it leaves a daemon for ever)."""
        scripts = server_scripts(self._root)
        self._write_files()
        await self._start_epmd()
        return Command(
            name="RabbitMQ",
            arguments=[str(scripts / "rabbitmq-server")],
            folder=self.data_dir,
            environment=self._environment(),
            ending=((signal.SIGTERM, 30.0),),
            open_files=OPEN_FILES,
            hint=HINT,
        )

    def _write_files(self) -> None:
        cookie = self.data_dir / ".erlang.cookie"
        kept_secret(cookie)
        cookie.chmod(0o400)
        write_private(self.data_dir / "plugins", "[].\n")
        lines = [
            f"listeners.tcp.default = 127.0.0.1:{self.port}",
            f"default_user = {USER}",
            f"default_pass = {kept_secret(self.data_dir / 'password')}",
            "disk_free_limit.absolute = 50MB",
            f"vm_memory_high_watermark.absolute = {self._memory_limit}",
            "log.console.level = warning",
        ]
        write_private(self.data_dir / "rabbitmq.conf", "\n".join(lines) + "\n")

    async def _start_epmd(self) -> None:
        if self._epmd is not None and self._epmd.running:
            return
        command = Command(
            name="epmd",
            arguments=["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            folder=self.data_dir,
            environment=self._environment(),
            open_files=OPEN_FILES,
            hint=HINT,
        )
        self._epmd = ChildProcess(command)
        await self._epmd.start()
        await self._epmd.wait_until(self._epmd_answers, EPMD_SECONDS)

    async def _epmd_answers(self) -> bool:
        return await port_answers(self._epmd_port)

    def _environment(self) -> dict[str, str]:
        folder, libraries = self.data_dir, library_folders(self._root)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        if self._root != SYSTEM:
            kept["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
        return kept | {
            "HOME": str(folder),
            "PATH": f"{self._root / 'usr/bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            ERL_ROOT_VARIABLE: str(self._root / "usr/lib/erlang"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            # The start script then becomes the node instead of waiting for it, and signals reach the node.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "node.pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ONLY_LOOPBACK,
            "RABBITMQ_CTL_ERL_ARGS": ONLY_LOOPBACK,
        }

    async def answers(self) -> bool:
        """Tell whether a client can log in."""
        # aio-pika logs an error for each refused connection, and a node refuses for seconds.
        if not await port_answers(self.port):
            return False
        try:
            connection = await connect(self.url, timeout=PROBE_SECONDS)
        except (OSError, AMQPError):
            return False
        await connection.close()
        return True

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return what it prints; EmbeddedError when it fails."""
        program = str(server_scripts(self._root) / "rabbitmqctl")
        status, output = await run_tool(
            program, *arguments, seconds=CONTROL_SECONDS, folder=self.data_dir, environment=self._environment()
        )
        if status != 0:
            raise EmbeddedError(f"rabbitmqctl {' '.join(arguments[:1])} failed: {output[-300:]}")
        return output

    async def wipe(self) -> None:
        """Lose all data of the stopped node, as a broker does whose volume is gone."""
        if self.running:
            raise EmbeddedError("Stop the RabbitMQ node before wiping it.")
        await asyncio.to_thread(shutil.rmtree, self.data_dir / "mnesia", ignore_errors=True)

    async def stop(self) -> None:
        """End the node in order, then its name server."""
        await super().stop()
        if self._epmd is not None:
            await self._epmd.stop()

    def abandon(self) -> None:
        """Kill node and name server without a loop."""
        super().abandon()
        if self._epmd is not None:
            self._epmd.abandon()
