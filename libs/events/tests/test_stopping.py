"""SIGTERM and `stop`: a subscriber under `asyncio.run` lets its handlers finish."""

import asyncio
import subprocess
import sys

from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time

PROGRAM = """
import asyncio, os, signal
from parley_events import Subscriber, TurnEnded
from parley_events.testing import InProcessBus, sample

bus = InProcessBus()
subscriber = Subscriber("amqp://broker/", "sub.team.q", connect=bus.connect)

@subscriber.on(TurnEnded)
async def store(turn, event):
    print("begun", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    print("finished", flush=True)

async def main():
    task = asyncio.ensure_future(subscriber.run())
    await subscriber.consuming.wait()
    await bus.publish(sample(TurnEnded))
    await task
    print("unsettled", bus.exchanges.queues["sub.team.q"].unsettled, flush=True)

asyncio.run(main())
"""


TWO_SUBSCRIBERS = """
import asyncio, os, signal
from parley_events import Subscriber
from parley_events.testing import InProcessBus

bus = InProcessBus()
first, second = (Subscriber("amqp://broker/", f"sub.team.{name}", connect=bus.connect) for name in "ab")

async def main():
    runs = [asyncio.ensure_future(each.run()) for each in (first, second)]
    await asyncio.gather(first.consuming.wait(), second.consuming.wait())
    first.stop()
    await runs[0]
    runs[0] = asyncio.ensure_future(first.run())
    await first.consuming.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.gather(*runs)
    print("default", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)

asyncio.run(main())
"""


def test_sigterm_stops_every_subscriber_of_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_SUBSCRIBERS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "default True\n", done.stderr
    assert done.returncode == 0, done.stderr


def test_sigterm_lets_the_running_handler_finish_and_acknowledges_its_event() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split("\n")[:3] == ["begun", "finished", "unsettled 0"], done.stderr
    assert done.returncode == 0, done.stderr


@virtual_time
async def test_a_stop_before_the_first_step_of_a_run_ends_it() -> None:
    subscriber = subscriber_of(InProcessBus(), Recorder())
    run = asyncio.create_task(subscriber.run())
    subscriber.stop()
    async with asyncio.timeout(60):
        await run
    subscriber.stop()
    async with asyncio.timeout(60):
        await subscriber.run()


@virtual_time
async def test_a_stopped_subscriber_can_run_again() -> None:
    bus, handler = InProcessBus(), Recorder()
    subscriber = subscriber_of(bus, handler)
    for sequence in (1, 2):
        async with bus.running(subscriber):
            subscriber.stop()
            subscriber.stop()
            await bus.publish(turn("a", sequence))
    async with bus.running(subscriber):
        await bus.settled(subscriber)
    assert handler.of("a") == [1, 2]
