"""The webhook service as an ASGI app and as a process."""

import sys

from fastapi import FastAPI

from parley import __version__
from parley.config.settings import load_or_exit
from parley.service_status_route import service_status_router
from parley.web import server
from parley.web.app import build_app
from parley.web.service import Wire
from webhooks.deliveries.api import router as deliveries
from webhooks.endpoints.api import router as endpoints
from webhooks.settings import WebhooksSettings
from webhooks.wiring import WebhookServices
from webhooks.wiring import wire as wire_webhooks

DESCRIPTION = "Webhooks: events sent as signed HTTP requests, with retries and a delivery log."


def create_app(
    settings: WebhooksSettings | None = None, *, wire: Wire[WebhooksSettings, WebhookServices] = wire_webhooks
) -> FastAPI:
    """Return the app. Connections are opened when its lifespan starts."""
    settings = settings or load_or_exit(WebhooksSettings)
    return build_app(
        settings,
        service="webhooks",
        version=__version__,
        description=DESCRIPTION,
        wire=wire,
        routers=(endpoints, deliveries, service_status_router("webhooks")),
    )


def main() -> None:
    """Run the service as a process of its own."""
    settings = load_or_exit(WebhooksSettings)
    app = create_app(settings)
    sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
