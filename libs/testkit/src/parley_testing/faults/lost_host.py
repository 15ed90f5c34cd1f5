"""A host that vanishes: a network namespace behind a link that can lose every packet, without a reset or a refusal.

A stopped process still has a kernel that answers. A lost host does not answer at all: connections stay open, and only
keepalive probes and timeouts end them. Needs root, or a user namespace as made by ``laboratory``.
"""

import asyncio
import contextlib
import ctypes
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from parley_testing.faults.tcp_proxy import TcpProxy, Toxics
from parley_testing.waiting import eventually

CLONE_NEWNET = 0x40000000
NOWHERE = "02:00:00:00:ff:ff"
"""An address of the link layer that no interface has: packets to it are dropped without an answer."""
BACKLOG = 128


def laboratory(command: Sequence[str]) -> list[str] | None:
    """Return the command that runs ``command`` with a network and mounts of its own; None if this system refuses it."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return None
    for options in (["--net", "--mount"], ["--user", "--map-root-user", "--net", "--mount"]):
        probe = ["unshare", *options, "ip", "link", "add", "probe", "type", "veth", "peer", "name", "peer"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return ["unshare", *options, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    return None


class LostHost:
    """A host whose services forward to ports of this host. ``number`` is unique among open hosts."""

    def __init__(self, number: int, ports: Mapping[str, int]) -> None:
        """``ports`` are the ports of this host, by the names of the services."""
        self._own, self._host = f"10.77.{number}.1", f"10.77.{number}.2"
        self._macs = {self._own: f"02:00:00:00:{number:02x}:01", self._host: f"02:00:00:00:{number:02x}:02"}
        self._links = f"own{number}", f"far{number}"
        self._outside = Path("/proc/self/ns/net").readlink()
        self._ports, self._stack = ports, contextlib.AsyncExitStack()
        self._proxies: dict[str, TcpProxy] = {}

    def address(self, service: str) -> str:
        """Return host and port of a service."""
        return f"{self._host}:{self._proxies[service].port}"

    @property
    def received(self) -> int:
        """The number of bytes that the services of this host have received."""
        return sum(proxy.counters.forward for proxy in self._proxies.values())

    def moved(self, url: str, service: str) -> str:
        """Return a URL with the address of a service."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{credentials}{at}{self.address(service)}").geturl()

    async def __aenter__(self) -> Self:
        process = await asyncio.create_subprocess_exec("unshare", "--net", "sleep", "infinity")
        self._stack.push_async_callback(_end, process)
        self._namespace = Path(f"/proc/{process.pid}/ns/net")
        await eventually(lambda: self._namespace.readlink() != self._outside)
        own, far = self._links
        _ip("link", "add", own, "address", self._macs[self._own], "type", "veth", "peer", "name", far)
        _ip("link", "set", far, "address", self._macs[self._host], "netns", str(process.pid))
        _ip("addr", "add", f"{self._own}/30", "dev", own)
        _ip("link", "set", own, "up")
        self._far_ip("addr", "add", f"{self._host}/30", "dev", far)
        self._far_ip("link", "set", far, "up")
        self._deliver(self._macs)
        for service, port in self._ports.items():
            listener = _in_namespace(self._namespace, self._host)
            proxy = TcpProxy("127.0.0.1", port, listener=listener)
            self._proxies[service] = await self._stack.enter_async_context(proxy)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @contextlib.contextmanager
    def lost(self) -> Iterator[None]:
        """Lose every packet in both directions while the context is open."""
        self._deliver(dict.fromkeys(self._macs, NOWHERE))
        try:
            yield
        finally:
            self._deliver(self._macs)

    @contextlib.asynccontextmanager
    async def refusing(self, service: str) -> AsyncIterator[None]:
        """Refuse new connections to one service while the context is open."""
        proxy = self._proxies[service]
        port = proxy.port
        proxy.stop_listening()
        try:
            yield
        finally:
            await proxy.listen(_in_namespace(self._namespace, self._host, port))

    @contextlib.asynccontextmanager
    async def delayed(self, seconds: float) -> AsyncIterator[None]:
        """Delay what is sent, in each direction, while the context is open."""
        async with contextlib.AsyncExitStack() as delays:
            for proxy in self._proxies.values():
                await delays.enter_async_context(proxy.with_toxics(Toxics(latency=seconds)))
            yield

    def _deliver(self, macs: dict[str, str]) -> None:
        own, far = self._links
        _ip("neigh", "replace", self._host, "lladdr", macs[self._host], "dev", own, "nud", "permanent")
        self._far_ip("neigh", "replace", self._own, "lladdr", macs[self._own], "dev", far, "nud", "permanent")

    def _far_ip(self, *arguments: str) -> None:
        _run(["nsenter", f"--net={self._namespace}", "ip", *arguments])


def _in_namespace(namespace: Path, host: str, port: int = 0) -> socket.socket:
    """Return a listening socket of another network namespace; a namespace belongs to a thread."""
    made: list[socket.socket] = []

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with namespace.open() as opened:
            if libc.setns(opened.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.create_server((host, port), backlog=BACKLOG))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert made, "the network namespace could not be entered"
    return made[0]


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


async def _end(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()
