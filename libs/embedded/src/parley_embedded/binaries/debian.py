"""Unpack Debian packages into a folder: no root, nothing installed, the system's package database untouched."""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.tool import run_tool

UPDATE_SECONDS = 180.0
DOWNLOAD_SECONDS = 300.0
UNPACK_SECONDS = 60.0
LOCK_SECONDS = 600.0
LOCK_POLL_SECONDS = 0.2


def _leave(_: Path) -> None:
    pass


async def unpack_debian(
    name: str, packages: Sequence[str], tools: Path, *, hint: str, finish: Callable[[Path], None] = _leave
) -> Path:
    """Return `tools/name` with the packages' files; downloads only when it is not there yet.

    Two processes may ask at once: one downloads, the other waits. `finish` may change the files before they get their
    final place. EmbeddedError, ending with `hint`, when this is no Debian or the download fails.
    """
    root = tools / name
    if root.exists():
        return root
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise EmbeddedError(f"Cannot download {name} here: no apt-get. {hint}")
    async with _locked(tools, name, hint):
        if not root.exists():
            await _Download(tools / f"{name}.new", packages, hint).into(root, finish)
    return root


def library_folders(root: Path) -> tuple[Path, ...]:
    """Return the folders of shared libraries below an unpacked root."""
    return tuple(sorted([*root.glob("usr/lib/*-linux-*"), *root.glob("lib/*-linux-*")]))


@asynccontextmanager
async def _locked(tools: Path, name: str, hint: str) -> AsyncIterator[None]:
    descriptor = _lock_file(tools, name, hint)
    try:
        await _lock(descriptor, name, hint)
        yield
    finally:
        os.close(descriptor)


def _lock_file(tools: Path, name: str, hint: str) -> int:
    try:
        tools.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(tools / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(f"Cannot write into {tools} ({error.strerror}). {hint}") from error


async def _lock(descriptor: int, name: str, hint: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Another process is downloading {name} for too long. {hint}") from None
            await asyncio.sleep(LOCK_POLL_SECONDS)


class _Download:
    """One download in a working folder that is thrown away at the end."""

    def __init__(self, work: Path, packages: Sequence[str], hint: str) -> None:
        self._work, self._packages, self._hint = work.absolute(), packages, hint
        self._environment = dict(os.environ) | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}

    async def into(self, root: Path, finish: Callable[[Path], None]) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        for folder in ("state/lists/partial", "cache/archives/partial", "debs", "root"):
            (self._work / folder).mkdir(parents=True)
        try:
            await self._fetch()
            await self._unpack()
            finish(self._work / "root")
            (self._work / "root").rename(root)
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    async def _fetch(self) -> None:
        # One source of many may fail here without harm; whether ours worked, the download tells.
        _, update = await self._apt("update", seconds=UPDATE_SECONDS)
        names = sorted({*self._packages, *await self._missing()})
        status, output = await self._apt("download", *names, seconds=DOWNLOAD_SECONDS)
        if status != 0:
            words = [line for line in (*update.splitlines(), *output.splitlines()) if line.startswith("E:")]
            raise EmbeddedError(f"apt-get cannot download {names[0]}…: {' | '.join(words[:2])}. {self._hint}")

    async def _missing(self) -> list[str]:
        """Name what an installation would add to this system: libraries a slim image lacks."""
        _, plan = await self._apt(
            "--simulate", "--no-install-recommends", "install", *self._packages, seconds=UPDATE_SECONDS
        )
        return [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]

    async def _apt(self, *arguments: str, seconds: float) -> tuple[int, str]:
        options = {
            "Dir::State": self._work / "state",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": self._work / "cache",
            "Acquire::Retries": 2,
            "Acquire::http::Timeout": 20,
            "Acquire::https::Timeout": 20,
        } | ({"APT::Sandbox::User": "root"} if os.geteuid() == 0 else {})
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        folder = self._work / "debs"
        return await run_tool(
            "apt-get", "-q", *words, *arguments, seconds=seconds, folder=folder, environment=self._environment
        )

    async def _unpack(self) -> None:
        for package in sorted((self._work / "debs").glob("*.deb")):
            status, output = await run_tool(
                "dpkg-deb", "-x", str(package), str(self._work / "root"), seconds=UNPACK_SECONDS
            )
            if status != 0:
                raise EmbeddedError(f"Cannot unpack {package.name}: {output[-200:]}. {self._hint}")
