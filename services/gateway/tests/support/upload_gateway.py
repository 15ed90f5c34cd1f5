"""The gateway with routes that accept large bodies, as a program."""

import dataclasses
import sys

from gateway.main import create_app
from gateway.routes import all_routes
from gateway.settings import GatewaySettings
from gateway_testing.running import wire_with_routes
from parley.config.settings import load_or_exit
from parley.web import server

MAX_BODY = 256 * 1_048_576


def main() -> int:
    settings = load_or_exit(GatewaySettings)
    routes = [dataclasses.replace(route, max_body=MAX_BODY) for route in all_routes()]
    app = create_app(settings, wire=wire_with_routes(routes))
    return server.main(app, app.state.runtime.lifecycle, settings)


if __name__ == "__main__":
    sys.exit(main())
