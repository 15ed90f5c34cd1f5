"""Debian packages, unpacked into a folder without root and without installing anything."""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.environment import DOWNLOAD, child_environment
from parley_embedded.process.tool import run_tool

UPDATE_TIMEOUT = 180.0
DOWNLOAD_TIMEOUT = 300.0
UNPACK_TIMEOUT = 60.0
LOCK_TIMEOUT = 600.0
LOCK_POLL_INTERVAL = 0.2


def _keep_unchanged(_: Path) -> None:
    pass


async def unpack_debian(
    name: str, packages: Sequence[str], tools: Path, *, hint: str, finish: Callable[[Path], None] = _keep_unchanged
) -> Path:
    """Return `tools/name` with the files of the packages. The first call downloads them.

    When two processes call this at the same time, one downloads and the other waits. `finish` may edit the files before
    they move to their final folder. Raises EmbeddedError, with `hint` at its end, when the system is not Debian or the
    download fails.
    """
    root = tools / name
    if root.exists():
        return root
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise EmbeddedError(f"Cannot download {name}: apt-get is missing. {hint}")
    async with _locked(tools, name, hint):
        if not root.exists():
            await _Download(tools / f"{name}.new", packages, hint).run(root, finish)
    return root


def library_folders(root: Path) -> tuple[Path, ...]:
    """Return the folders of shared libraries below an unpacked root.

    Libraries that only one package uses are in a folder of their own. An installed package finds them by an absolute
    path, which is wrong below `root`.
    """
    shared = [*root.glob("usr/lib/*-linux-*"), *root.glob("lib/*-linux-*")]
    private = {library.parent for folder in shared for library in folder.glob("*/lib*.so*")}
    return tuple(sorted([*shared, *private]))


@asynccontextmanager
async def _locked(tools: Path, name: str, hint: str) -> AsyncIterator[None]:
    descriptor = _open_lock_file(tools, name, hint)
    try:
        await _acquire(descriptor, name, hint)
        yield
    finally:
        os.close(descriptor)


def _open_lock_file(tools: Path, name: str, hint: str) -> int:
    try:
        tools.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(tools / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(f"Cannot write to {tools} ({error.strerror}). {hint}") from error


async def _acquire(descriptor: int, name: str, hint: str) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Another process has been downloading {name} for more than {LOCK_TIMEOUT:g} s. {hint}"
                ) from None
            await asyncio.sleep(LOCK_POLL_INTERVAL)


class _Download:
    """One download in a temporary folder that is removed at the end."""

    def __init__(self, work: Path, packages: Sequence[str], hint: str) -> None:
        self._work, self._packages, self._hint = work.absolute(), packages, hint
        self._environment = child_environment({"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}, also=DOWNLOAD)

    async def run(self, root: Path, finish: Callable[[Path], None]) -> None:
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
        # The status of `update` is ignored: an unrelated source may fail. The download shows whether it worked.
        _, update = await self._apt("update", timeout=UPDATE_TIMEOUT)
        names = sorted({*self._packages, *await self._missing_dependencies()})
        status, output = await self._apt("download", *names, timeout=DOWNLOAD_TIMEOUT)
        if status != 0:
            errors = [line for line in (*update.splitlines(), *output.splitlines()) if line.startswith("E:")]
            raise EmbeddedError(f"apt-get cannot download {names[0]}…: {' | '.join(errors[:2])}. {self._hint}")

    async def _missing_dependencies(self) -> list[str]:
        # What an installation would add to this system: libraries that a slim image lacks.
        _, plan = await self._apt(
            "--simulate", "--no-install-recommends", "install", *self._packages, timeout=UPDATE_TIMEOUT
        )
        return [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]

    async def _apt(self, *arguments: str, timeout: float) -> tuple[int, str]:
        options = {
            "Dir::State": self._work / "state",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": self._work / "cache",
            # The lists of a mirror that is a snapshot have expired. Their signatures are verified all the same.
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Retries": 2,
            "Acquire::http::Timeout": 20,
            "Acquire::https::Timeout": 20,
        } | ({"APT::Sandbox::User": "root"} if os.geteuid() == 0 else {})
        flags = [flag for key, value in options.items() for flag in ("-o", f"{key}={value}")]
        folder = self._work / "debs"
        return await run_tool(
            "apt-get", "-q", *flags, *arguments, seconds=timeout, folder=folder, environment=self._environment
        )

    async def _unpack(self) -> None:
        for package in sorted((self._work / "debs").glob("*.deb")):
            status, output = await run_tool(
                "dpkg-deb", "-x", str(package), str(self._work / "root"), seconds=UNPACK_TIMEOUT
            )
            if status != 0:
                raise EmbeddedError(f"Cannot unpack {package.name}: {output[-200:]}. {self._hint}")
