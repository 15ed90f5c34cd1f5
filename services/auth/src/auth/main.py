"""The auth service."""

import sys
from importlib.metadata import version

from fastapi import FastAPI

from auth import wiring
from auth.api import (
    accounts,
    admin,
    api_keys,
    devices,
    erasures,
    forms,
    internal,
    reset_requests,
    resets,
    token,
    well_known,
)
from auth.settings import AuthSettings
from parley.config.settings import load_or_exit
from parley.web import server
from parley.web.app import Wire, build_app

DESCRIPTION = "Identities, sessions and tokens: accounts, OAuth2 grants, API keys and administration."


def create_app(settings: AuthSettings | None = None, *, wire: Wire[AuthSettings] = wiring.wire) -> FastAPI:
    """Return the app; nothing is opened before its lifespan is entered."""
    settings = settings or load_or_exit(AuthSettings)
    app = build_app(
        settings,
        service=AuthSettings.service,
        version=version("parley-auth"),
        description=DESCRIPTION,
        wire=wire,
        routers=[
            accounts.router,
            erasures.router,
            resets.router,
            token.router,
            devices.router,
            api_keys.router,
            admin.router,
            internal.router,
            well_known.router,
            *([reset_requests.router] if settings.smtp_url else []),
        ],
    )
    forms.install_oauth_errors(app)
    return app


def main() -> None:
    """Serve until told to stop."""
    settings = load_or_exit(AuthSettings)
    app = create_app(settings)
    sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
