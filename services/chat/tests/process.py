"""One chat as a process of its own, for tests that kill it.

``FAILPOINT=turns.finish:after:3`` makes it kill itself right after the third call of that port's method.
``LEASE_LENGTH`` is in seconds.
"""

import dataclasses
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from chat.main import create_app
from chat.running.engine import EngineAdapters
from chat.settings import ChatSettings
from chat.wiring import wire
from parley.config.settings import load
from parley.messaging.memory_bus import MemoryBus
from parley.web import server


class Dying:
    """A port whose method kills the process before or after its n-th call, or the n-th that found something."""

    def __init__(self, port: Any, method: str, moment: str, count: int) -> None:
        self._port, self._method, self._moment, self._left = port, method, moment, count

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._dying(found) if name == self._method else found

    def _dying(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            if self._moment == "before":
                self._count_down()
            result = await method(*args, **options)
            if self._moment == "after" or (self._moment == "found" and result):
                self._count_down()
            return result

        return call

    def _count_down(self) -> None:
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def with_failpoint(ports: EngineAdapters) -> EngineAdapters:
    """Return the ports, one of them dying where ``FAILPOINT`` says."""
    failpoint = os.environ.get("FAILPOINT")
    if not failpoint:
        return ports
    path, moment, count = failpoint.split(":")
    name, method = path.split(".")
    return dataclasses.replace(ports, **{name: Dying(getattr(ports, name), method, moment, int(count))})


def main() -> int:
    """Serve until SIGTERM."""
    settings = load(ChatSettings)
    lease = float(os.environ["LEASE_LENGTH"])
    app = create_app(settings, wire=functools.partial(wire, bus=MemoryBus(), wrap=with_failpoint, lease_length=lease))
    return server.main(app, app.state.runtime.lifecycle, settings)


if __name__ == "__main__":
    sys.exit(main())
