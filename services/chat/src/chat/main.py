"""Application factory and process entry point of the chat service."""

import sys

from fastapi import FastAPI

from chat.api import (
    budget,
    chat,
    chat_completions,
    completion_stream,
    conversations,
    embeddings,
    files,
    models,
    openai_files,
    plans,
    turns,
    ui_messages,
    websocket,
)
from chat.api.anthropic_messages import messages
from chat.api.anthropic_messages import stream as message_stream
from chat.api.openai_responses import compaction, conversation_items, responses
from chat.api.openai_responses import conversations as openai_conversations
from chat.api.openai_responses import stream as response_stream
from chat.api.openai_responses import websocket as responses_websocket
from chat.files.upload_form import MAX_FORM_BYTES
from chat.settings import ChatSettings
from chat.wiring import ChatServices
from chat.wiring import wire as wire_chat
from parley import __version__
from parley.config.settings import load_or_exit
from parley.service_status_route import service_status_router
from parley.web import server
from parley.web.app import build_app
from parley.web.service import Wire


def create_app(settings: ChatSettings | None = None, *, wire: Wire[ChatSettings, ChatServices] = wire_chat) -> FastAPI:
    """Return the app. Its lifespan opens and closes all connections."""
    settings = settings or load_or_exit(ChatSettings)
    return build_app(
        settings,
        service="chat",
        version=__version__,
        description="LLM turns: durable, resumable, streamed.",
        wire=wire,
        routers=[
            service_status_router("chat"),
            *(chat.router, turns.router, conversations.router),
            *(ui_messages.router, ui_messages.resumption_router),
            *(messages.router, message_stream.router),
            *(responses.router, compaction.router, response_stream.router, responses_websocket.router),
            *(openai_conversations.router, conversation_items.router),
            *(models.router, budget.router, chat_completions.router, completion_stream.router, websocket.router),
            *(files.router, openai_files.router, plans.router, embeddings.router),
        ],
        larger_bodies=dict.fromkeys((files.router.prefix, openai_files.router.prefix), MAX_FORM_BYTES),
    )


def main() -> None:
    """Serve until SIGTERM, then exit with the server's status."""
    settings = load_or_exit(ChatSettings)
    app = create_app(settings)
    sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
