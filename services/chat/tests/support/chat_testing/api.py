"""Chat's routes on in-memory stores."""

import contextlib
import functools
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
from fastapi import FastAPI

from chat.admission.budget_report import BudgetReports
from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextLoader
from chat.admission.conversation_items import ConversationItems
from chat.admission.conversations import ConversationCreator, ConversationReader
from chat.admission.position import PositionResolver
from chat.admission.token_limits import TokenLimits
from chat.api.dependencies import ApiServices
from chat.api.embedding_calls import EmbeddingCalls
from chat.files.service import FileService
from chat.main import create_app
from chat.settings import ChatSettings
from chat_testing.item_store import InMemoryItemStore
from chat_testing.service_bench import ServiceBench
from parley import times
from parley.config.plans import Plans
from parley.config.settings import load
from parley_testing.security.token_issuer import TestIssuer


class NoPlans:
    """A PlanLookup that knows nobody."""

    async def plan_of(self, user_id: UUID, token: str) -> str | None:
        """Return no plan."""
        return None


@functools.cache
def shared_app() -> FastAPI:
    """Return the app, which takes longer to make than a test."""
    return create_app(load(ChatSettings, database_url="postgresql://nowhere/chat", redis_url="redis://nowhere"))


def client_of(bench: ServiceBench, issuer: TestIssuer, files: FileService | None = None) -> httpx2.AsyncClient:
    """Return a client of the app, which from now on uses the services of a bench."""
    turns, history = bench.engine.turns, bench.history
    plans = Plans(bench.plans, bench.plan)
    budgets, token_limits = Budgets(plans, turns), TokenLimits(bench.limiter)
    app = shared_app()
    app.state.wired = ApiServices(
        verifier=issuer.verifier(),
        service=bench.service,
        conversations=ConversationCreator(turns, history),
        conversation_reader=ConversationReader(turns, history, ContextLoader(turns, history)),
        items=ConversationItems(InMemoryItemStore(turns), PositionResolver(turns, history), token_limits, plans),
        catalogue=bench.engine.catalogue,
        generator=bench.engine.generator,
        embedding_calls=EmbeddingCalls(bench.engine.embeddings),
        budgets=budgets,
        budget_reports=BudgetReports(budgets, token_limits, NoPlans()),
        started_at=times.now(),
        files=files,
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://chat")


@contextlib.asynccontextmanager
async def open_api(bench: ServiceBench, issuer: TestIssuer) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client of the app on the services of a bench."""
    async with client_of(bench, issuer) as found:
        yield found
