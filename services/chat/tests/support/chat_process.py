"""Chat as a process of its own, for tests that kill it.

``FAILPOINT=turns.finish:after:3`` makes the process kill itself right after the third call of that adapter's method.
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
from chat_testing.wiring import wire_for_tests
from parley.config.settings import load
from parley.messaging.memory_bus import MemoryBus
from parley.web import server


class Failpoint:
    """An adapter whose method kills the process at its n-th call.

    ``moment`` is ``before`` or ``after`` the call, or ``found``, which counts only calls with a result.
    """

    def __init__(self, adapter: Any, method: str, moment: str, count: int) -> None:
        self._adapter, self._method, self._moment, self._left = adapter, method, moment, count

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._adapter, name)
        return self._counted(found) if name == self._method else found

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
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


def with_failpoint(adapters: EngineAdapters) -> EngineAdapters:
    """Return the adapters, one of them with the failpoint that ``FAILPOINT`` names."""
    failpoint = os.environ.get("FAILPOINT")
    if not failpoint:
        return adapters
    path, moment, count = failpoint.split(":")
    name, method = path.split(".")
    return dataclasses.replace(adapters, **{name: Failpoint(getattr(adapters, name), method, moment, int(count))})


def main() -> int:
    settings = load(ChatSettings)
    lease_length = float(os.environ["LEASE_LENGTH"])
    wire = functools.partial(wire_for_tests, bus=MemoryBus(), wrap=with_failpoint, lease_length=lease_length)
    app = create_app(settings, wire=wire)
    return server.main(app, app.state.runtime.lifecycle, settings)


if __name__ == "__main__":
    sys.exit(main())
