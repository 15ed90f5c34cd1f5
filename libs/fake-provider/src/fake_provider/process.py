"""Provider as a child process, with its control API, for tests."""

import asyncio
import contextlib
import http.client
import signal
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import orjson

ANNOUNCEMENT = "listening on "
POLL_INTERVAL = 0.02


class FakeProvider:
    """Provider on a free port of this machine, which runs while the context is open.

    `arguments` are additional command line arguments, such as `"--rate", "20"`. The child ends with this process, even
    when this process is killed.
    """

    def __init__(self, *arguments: str, port: int = 0, timeout: float = 20.0) -> None:
        self._arguments = arguments
        self._port = port
        self._timeout = timeout
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The root URL, `http://127.0.0.1:<port>`, which a restart keeps."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """The `base_url` of an OpenAI client."""
        return f"{self.url}/v1"

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The running child; `RuntimeError` when it does not run."""
        if self._process is None:
            raise RuntimeError("the fake provider is not running")
        return self._process

    async def start(self) -> None:
        """Start the child on its previous port, or on a free port, and wait until it listens."""
        if self._process is not None:
            raise RuntimeError("the fake provider is already running")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fake_provider.main", "--port", str(self._port), "--until-stdin-closes",
            *self._arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            self._port = await self._announced_port()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop the child with SIGTERM, then with SIGKILL when it does not end in time."""
        if self._process is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._timeout)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Kill the child with SIGKILL. Every connection breaks and the journal is lost."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    async def restart(self) -> None:
        """Kill the child and start it again on the same port, with an empty journal."""
        await self.kill()
        await self.start()

    def freeze(self) -> None:
        """Suspend the child. Its connections stay open and silent until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a suspended child."""
        self._signal(signal.SIGCONT)

    async def journal(self, *, contains: str | None = None, since: int | None = None) -> list[dict[str, Any]]:
        """Return the calls, oldest first. Filters: a text in the messages, or only calls after a `seq`."""
        answer = await self.journal_page(contains=contains, since=since)
        entries: list[dict[str, Any]] = answer["entries"]
        return entries

    async def journal_page(self, **filters: str | int | None) -> dict[str, Any]:
        """Return the journal with its counters (`in_flight`, `peak_in_flight`, `last_seq`, `dropped`)."""
        query = urlencode({name: value for name, value in filters.items() if value is not None})
        page: dict[str, Any] = await self._control("GET", f"/_control/journal?{query}")
        return page

    async def ended_call(self, contains: str) -> dict[str, Any]:
        """Wait until the newest call with a text in its messages has ended, and return its entry.

        Raises `TimeoutError` when the call does not end within the provider's timeout.
        """
        async with asyncio.timeout(self._timeout):
            while True:
                calls = await self.journal(contains=contains)
                if calls and calls[-1]["ended"] is not None:
                    return calls[-1]
                await asyncio.sleep(POLL_INTERVAL)

    async def clear_journal(self) -> None:
        """Remove all entries of the journal."""
        await self._control("DELETE", "/_control/journal")

    async def set_knobs(self, **knobs: object) -> None:
        """Set the knobs of all calls. Knobs that are not named return to their initial values."""
        await self._control("PUT", "/_control/knobs", knobs)

    async def script(self, steps: Sequence[Mapping[str, object]]) -> None:
        """Add knobs for the next calls: one step for each call, or for `times` calls."""
        await self._control("POST", "/_control/script", list(steps))

    async def clear_script(self) -> None:
        """Remove the steps that no call has used."""
        await self._control("DELETE", "/_control/script")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _announced_port(self) -> int:
        output = self.process.stdout
        assert output is not None
        line = (await asyncio.wait_for(output.readline(), self._timeout)).decode().strip()
        port = urlsplit(line.removeprefix(ANNOUNCEMENT)).port
        if not line.startswith(ANNOUNCEMENT) or port is None:
            raise RuntimeError(f"the fake provider did not start (exit status {self.process.returncode}): {line!r}")
        return port

    async def _control(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(self._request, method, path, body)

    def _request(self, method: str, path: str, body: object) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=self._timeout)
        try:
            connection.request(method, path, None if body is None else orjson.dumps(body))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise ValueError(f"{method} {path}: {response.status} {content.decode()}")
        return orjson.loads(content) if content else None


class RunningProvider(FakeProvider):
    """Provider that runs already, in a container for example; only its control API is used."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    @property
    def url(self) -> str:
        """The root URL."""
        return self._url
