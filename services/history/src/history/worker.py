"""The event consumer as a process without the API. Probes and metrics are on the admin port."""

import asyncio
import signal
import sys

from history import VERSION
from history.settings import WorkerSettings
from history.wiring import wire
from parley.config.settings import load_or_exit
from parley.observability import logs
from parley.web.service import make_runtime, run_service


async def consume(settings: WorkerSettings) -> None:
    """Consume events until SIGTERM or SIGINT, then finish the events in progress."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    runtime = make_runtime(settings, service=settings.service, version=VERSION)
    async with run_service(runtime, settings, wire):
        await stop.wait()


def main() -> None:
    """Run the consumer as a process of its own."""
    import uvloop

    settings = load_or_exit(WorkerSettings)
    settings.run_consumer = True
    logs.configure(settings.log_level, settings.log_format)
    uvloop.run(consume(settings))
    sys.exit(0)
