"""The history API as an ASGI app and as a process."""

import sys

from fastapi import FastAPI

from history.conversations.api import router as conversations
from history.conversations.internal_api import router as internal_conversations
from history.conversations.openai_api import router as openai_conversations
from history.event_feed.api import router as feed
from history.messages.api import router as messages
from history.messages.internal_api import router as internal_messages
from history.search.api import router as search
from history.settings import HistorySettings
from history.transfer.api import router as transfer
from history.turns.api import router as internal_turns
from history.usage.api import router as usage
from history.wiring import HistoryServices
from history.wiring import wire as wire_history
from parley import __version__
from parley.config.settings import load_or_exit
from parley.service_status_route import service_status_router
from parley.web import server
from parley.web.app import build_app
from parley.web.service import Wire

DESCRIPTION = "Conversations: lists, messages, search, export and import, usage, and an event feed."


def create_app(
    settings: HistorySettings | None = None, *, wire: Wire[HistorySettings, HistoryServices] = wire_history
) -> FastAPI:
    """Return the app. Connections are opened when its lifespan starts."""
    settings = settings or load_or_exit(HistorySettings)
    return build_app(
        settings,
        service="history",
        version=__version__,
        description=DESCRIPTION,
        wire=wire,
        routers=(
            *(transfer, conversations, openai_conversations, messages, search, usage, feed),
            *(internal_conversations, internal_messages, internal_turns),
            service_status_router("history"),
        ),
        larger_bodies={"/api/v1/conversations/import": settings.import_limit},
    )


def main() -> None:
    """Run the API as a process of its own."""
    settings = load_or_exit(HistorySettings)
    app = create_app(settings)
    sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
