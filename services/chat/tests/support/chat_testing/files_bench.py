"""The app of chat with files in memory."""

import functools
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI

from chat.admission.budget_report import BudgetReports
from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextLoader
from chat.admission.conversations import ConversationCreator, ConversationReader
from chat.admission.plans import ChatPlan
from chat.admission.token_limits import TokenLimits
from chat.api.dependencies import ApiServices
from chat.files.collector import FileCollector
from chat.files.service import FileService
from chat.main import create_app
from chat.settings import ChatSettings
from chat_testing.bench import EngineBench
from chat_testing.files import InMemoryFileRows, InMemoryObjects
from chat_testing.service_bench import ServiceBench
from parley import times
from parley.config.plans import Plans
from parley.config.settings import load
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
PLAN = ChatPlan(file_bytes=1000, storage_bytes=2000, file_count=3, tokens_per_minute=None)


@functools.cache
def shared_app() -> FastAPI:
    """Return the app, which takes longer to make than a test."""
    return create_app(load(ChatSettings, database_url="postgresql://nowhere/chat", redis_url="redis://nowhere"))


class NoPlans:
    """A PlanLookup that knows nobody."""

    async def plan_of(self, user_id: UUID, token: str) -> str | None:
        return None


class FilesBench:
    """The app with files in memory, and its users."""

    def __init__(
        self, *, offered: bool = True, engine: EngineBench | None = None, rows: InMemoryFileRows | None = None
    ) -> None:
        self.rows, self.objects = rows or InMemoryFileRows(), InMemoryObjects()
        bench = ServiceBench(engine or EngineBench(), plan=PLAN, files=self.rows if offered else None)
        self.bench = bench
        self.collector = FileCollector(self.rows, self.objects)
        turns, history = bench.engine.turns, bench.history
        budgets = Budgets(Plans({}, PLAN), turns)
        app = shared_app()
        app.state.wired = ApiServices(
            verifier=ISSUER.verifier(),
            service=bench.service,
            conversations=ConversationCreator(turns, history),
            conversation_reader=ConversationReader(turns, history, ContextLoader(turns, history)),
            catalogue=bench.engine.catalogue,
            generator=bench.engine.generator,
            budgets=budgets,
            budget_reports=BudgetReports(budgets, TokenLimits(bench.limiter), NoPlans()),
            started_at=times.now(),
            files=FileService(self.rows, self.objects) if offered else None,
        )
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://chat")
        self.user_id = new_id()

    async def send(self, method: str, path: str, *, user: UUID | None = None, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {ISSUER.token(user or self.user_id)}", **options.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **options)

    async def upload(
        self, content: bytes, name: str = "a.txt", *, path: str = "/api/v1/files", **fields: str
    ) -> httpx2.Response:
        return await self.send("POST", path, files={"file": (name, content, "text/html")}, data=fields)
