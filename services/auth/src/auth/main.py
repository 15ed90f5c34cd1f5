"""The auth application and its server process."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from fastapi import FastAPI

from auth import wiring
from auth.accounts.api import router as accounts
from auth.administration.api import router as administration
from auth.administration.internal_api import router as usernames
from auth.api_keys.api import router as api_keys
from auth.container import AuthServices
from auth.email_verification.api import router as email_verification
from auth.erasure.api import router as erasure
from auth.password_resets.api import mail_router as password_reset_mail
from auth.password_resets.api import router as password_resets
from auth.revocations.api import router as revocations
from auth.sessions.api import router as sessions
from auth.settings import AuthSettings
from auth.signing_keys.api import router as signing_keys
from auth.tokens import oauth_forms
from auth.tokens.api import router as tokens
from parley import __version__
from parley.config.settings import load_or_exit
from parley.service_status_route import service_status_router
from parley.web import server
from parley.web.app import build_app
from parley.web.service import Wire

DESCRIPTION = "Identities, sessions and tokens: accounts, OAuth2 grants, API keys and administration."


def create_app(
    settings: AuthSettings | None = None, *, wire: Wire[AuthSettings, AuthServices] = wiring.wire
) -> FastAPI:
    """Return the app; its lifespan opens connections and background tasks."""
    settings = settings or load_or_exit(AuthSettings)
    app = build_app(
        settings,
        service=AuthSettings.service,
        version=__version__,
        description=DESCRIPTION,
        wire=wire,
        routers=[
            accounts,
            erasure,
            password_resets,
            tokens,
            sessions,
            api_keys,
            administration,
            usernames,
            revocations,
            signing_keys,
            service_status_router(AuthSettings.service),
            *([password_reset_mail, email_verification] if settings.smtp_url else []),
        ],
    )
    oauth_forms.install_oauth_errors(app)
    return app


def main() -> None:
    """Run the service until a signal stops it. With other arguments than `serve`, run `parley admin` with them."""
    arguments = sys.argv[1:]
    if arguments and arguments != ["serve"]:
        _run_operator_command(arguments)
    settings = load_or_exit(AuthSettings)
    app = create_app(settings)
    sys.exit(server.main(app, app.state.runtime.lifecycle, settings))


def _run_operator_command(arguments: list[str]) -> NoReturn:
    program = shutil.which("parley", path=Path(sys.executable).parent)
    if program is None:
        sys.exit("parley-auth: operator commands need the package parley-cli, which is not installed.")
    os.execv(program, ["parley", "admin", *arguments])  # noqa: S606 - no shell on purpose
