"""The event consumer as a process without the API. Probes and metrics are on the admin port."""

import sys

from history.settings import WorkerSettings
from history.wiring import wire
from parley import __version__
from parley.config.settings import load_or_exit
from parley.process.stop_signal import ProcessStopSignal
from parley.web.server import process_logs, run_process
from parley.web.service import make_runtime, run_service


async def consume(settings: WorkerSettings) -> None:
    """Consume events until SIGTERM or SIGINT, then finish the events in progress."""
    stop = ProcessStopSignal()
    runtime = make_runtime(settings, service=settings.service, version=__version__)
    with stop.installed():
        async with run_service(runtime, settings, wire):
            stop.started()
            await stop.wait()


def main() -> None:
    """Run the consumer as a process of its own."""
    settings = load_or_exit(WorkerSettings)
    settings.run_consumer = True
    with process_logs(settings):
        sys.exit(run_process(consume(settings), settings))
