"""Embedded profile: `parley run` as one process, for black-box tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from parley_embedded.process.child import ChildProcess, ServerCommand
from parley_testing.stacks.commands import CONSECUTIVE, answers, command_path, environment, free_ports
from parley_testing.stacks.service_process import START_SECONDS


class EmbeddedStack:
    """`parley run` in a folder of its own, with the provider at ``provider_url`` or the local model."""

    def __init__(
        self,
        folder: Path,
        provider_url: str | None,
        settings: Mapping[str, str] | None = None,
        *,
        descriptors: int | None = None,
    ) -> None:
        """``descriptors``: limit on open files, soft and hard. Default: that of the tests."""
        self.folder = folder
        self._wrapper = [] if descriptors is None else ["/bin/sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"]
        self.port = free_ports(2 * CONSECUTIVE)
        self.admin_port = self.port + CONSECUTIVE
        given = {"OPENAI_BASE_URL": provider_url} if provider_url else {}
        self._environment = environment(**given, **(settings or {}))
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The address of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    def settings_of(self, _service: str) -> Mapping[str, str]:
        """Return the settings with which a command finds the services."""
        return {"PARLEY_DATA_DIR": str(self.folder / "data")}

    @property
    def child(self) -> ChildProcess:
        """The running process."""
        assert self._child is not None
        return self._child

    def forget_provider(self) -> None:
        """Answer with the local model from the next start on."""
        self._environment.pop("OPENAI_BASE_URL", None)

    async def start(self) -> None:
        """Start the process and wait until the gateway is ready, or stop it; reap a killed one first."""
        await self.stop()
        arguments = ["run", "--port", str(self.port), "--admin-port", str(self.admin_port)]
        self._child = ChildProcess(
            ServerCommand(
                name="parley",
                arguments=[*self._wrapper, command_path("parley"), *arguments, "--data-dir", str(self.folder / "data")],
                folder=self.folder,
                environment=self._environment,
            )
        )
        try:
            await self._child.start()
            await self._child.wait_until(lambda: answers(f"{self.url}/ready"), START_SECONDS)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the process as Ctrl-C does."""
        if self._child is not None:
            await self._child.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
