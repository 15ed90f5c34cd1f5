"""The gateway as a program that records every rate limit decision in a file, for a comparison with a model.

Usage: ``recording_gateway.py FILE``. Each decision is a line of JSON: the result, its time in Redis (microseconds), and
the count, period (microseconds) and burst of each limit by its key.
"""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence

import orjson

from gateway import wiring
from gateway.access.policy import LimitChecker
from gateway.main import create_app
from gateway.route_table import RouteTable
from gateway.routes import all_routes
from gateway.settings import GatewaySettings
from gateway.wiring import GatewayParts
from parley.config.settings import load_or_exit
from parley.ratelimit.limiter import Decision, Limit, TokenSession
from parley.web import server
from parley.web.runtime import Runtime


class RecordingLimitChecker:
    """Passes checks on, and records the decisions."""

    def __init__(self, limiter: LimitChecker, path: str) -> None:
        self._limiter, self._path = limiter, path

    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: TokenSession | None = None) -> Decision:
        decision = await self._limiter.check(limits, cost=cost, session=session)
        line = {
            "at": decision.at,
            "process": os.getpid(),
            "allowed": decision.allowed,
            "limits": {limit.key: limit.numbers for limit in limits},
        }
        with open(self._path, "ab") as file:  # noqa: PTH123 - one short append, atomic between processes
            file.write(orjson.dumps(line) + b"\n")
        return decision


@contextlib.asynccontextmanager
async def recording_wire(settings: GatewaySettings, runtime: Runtime) -> AsyncIterator[GatewayParts]:
    async with (
        wiring.open_gateway_redis(settings, runtime) as redis,
        wiring.open_gateway_limiter(settings, runtime, redis) as limiter,
        wiring.assemble(
            settings, runtime, redis, RecordingLimitChecker(limiter, sys.argv[1]), RouteTable(all_routes())
        ) as parts,
    ):
        yield parts


def main() -> int:
    settings = load_or_exit(GatewaySettings)
    app = create_app(settings, wire=recording_wire)
    return server.main(app, app.state.runtime.lifecycle, settings)


if __name__ == "__main__":
    sys.exit(main())
