"""The gateway with a route that takes large bodies, for a test that runs it as a process of its own."""

import dataclasses
import sys

from gateway.main import create_app
from gateway.routes import all_routes
from gateway.settings import GatewaySettings
from parley.config.settings import load_or_exit
from parley.web import server

MOST = 256 * 1_048_576


def main() -> int:
    settings = load_or_exit(GatewaySettings)
    routes = [dataclasses.replace(route, max_body=MOST) for route in all_routes()]
    app = create_app(settings, routes=routes)
    return server.main(app, app.state.runtime.lifecycle, settings)


if __name__ == "__main__":
    sys.exit(main())
