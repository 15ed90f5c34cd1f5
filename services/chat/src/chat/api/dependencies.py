"""Dependencies of the routes: the caller and the services."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from chat.admission.budget_report import BudgetReports
from chat.admission.budgets import Budgets
from chat.admission.conversation_items import ConversationItems
from chat.admission.conversations import ConversationCreator, ConversationReader
from chat.api.embedding_calls import EmbeddingCalls
from chat.api.ended_turns import EndedTurns
from chat.catalogue import Catalogue
from chat.files.service import FileService
from chat.generation import AnswerGenerator
from chat.service import ChatService
from parley.security.identity import Principal, Verifier, caller


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The services that the routes use. Wiring puts them into ``app.state.wired``."""

    verifier: Verifier
    service: ChatService
    conversations: ConversationCreator
    conversation_reader: ConversationReader
    items: ConversationItems
    catalogue: Catalogue
    generator: AnswerGenerator
    embedding_calls: EmbeddingCalls
    budgets: Budgets
    budget_reports: BudgetReports
    started_at: datetime
    ended_turns: EndedTurns = field(default_factory=EndedTurns, kw_only=True)
    files: FileService | None = field(default=None, kw_only=True)
    """None if files are not offered."""


async def api_services(connection: HTTPConnection) -> ApiServices:
    """Return the services of the app. ``async``, because FastAPI runs other dependencies in a thread."""
    return services_of(connection)


async def chat_service(connection: HTTPConnection) -> ChatService:
    """Return the chat service of the app."""
    return services_of(connection).service


def services_of(connection: HTTPConnection) -> ApiServices:
    """Return the services of a connection's app."""
    services: ApiServices = connection.app.state.wired
    return services


Caller = Annotated[Principal, Depends(caller("chat:write"))]
Anyone = Annotated[Principal, Depends(caller())]
"""A caller with any scope."""
Services = Annotated[ApiServices, Depends(api_services)]
Service = Annotated[ChatService, Depends(chat_service)]
