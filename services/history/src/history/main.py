"""History's API as an app and as a process."""

import sys

from fastapi import FastAPI

from history import VERSION
from history.conversations.api import router as conversations
from history.search.api import router as reading
from history.settings import HistorySettings
from history.transfer.api import router as transfer
from history.turns.api import router as internal
from history.wiring import wire as wire_history
from parley.config.settings import load_or_exit
from parley.web import server
from parley.web.app import Wire, build_app

DESCRIPTION = "Conversations: lists, messages, search, export and import, usage, and a feed of what changes."


def create_app(settings: HistorySettings | None = None, *, wire: Wire[HistorySettings] = wire_history) -> FastAPI:
    """Return the app; nothing is opened before its lifespan is entered."""
    settings = settings or load_or_exit(HistorySettings)
    return build_app(
        settings,
        service="history",
        version=VERSION,
        description=DESCRIPTION,
        wire=wire,
        routers=(transfer, conversations, reading, internal),
        larger_bodies={"/api/v1/conversations/import": settings.import_limit},
    )


def main() -> None:
    """Run the API as the whole process."""
    settings = load_or_exit(HistorySettings)
    app = create_app(settings)
    sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
