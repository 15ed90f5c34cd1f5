"""The gateway, writing down each of its decisions on limits, for a test that replays those of several processes.

``python recording_gateway.py FILE`` with the usual environment; a line of JSON for each decision: what it says, Redis'
time of it in microseconds, and the count, period (microseconds) and burst of each limit by its key.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial

import orjson

from gateway import wiring
from gateway.main import create_app
from gateway.settings import GatewaySettings
from parley.config.settings import load_or_exit
from parley.ratelimit.limiter import Decision, Limit, Limiter, TokenSession
from parley.web import server


class RecordingLimiter(Limiter):
    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: TokenSession | None = None) -> Decision:
        decision = await super().check(limits, cost=cost, session=session)
        line = {
            "at": decision.at,
            "process": os.getpid(),
            "allowed": decision.allowed,
            "limits": {limit.key: limit.numbers for limit in limits},
        }
        with open(sys.argv[1], "ab") as file:  # noqa: PTH123 - one short write, whole as the processes append
            file.write(orjson.dumps(line) + b"\n")
        return decision


def main() -> int:
    settings = load_or_exit(GatewaySettings)
    app = create_app(settings, wire=partial(wiring.wire, limiter=RecordingLimiter))
    return server.main(app, app.state.runtime.lifecycle, settings)


if __name__ == "__main__":
    sys.exit(main())
