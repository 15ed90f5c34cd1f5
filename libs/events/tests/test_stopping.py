"""SIGTERM: a subscriber under `asyncio.run` lets its handlers finish."""

import subprocess
import sys

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


def test_sigterm_lets_the_running_handler_finish_and_acknowledges_its_event() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split("\n")[:3] == ["begun", "finished", "unsettled 0"], done.stderr
    assert done.returncode == 0, done.stderr
