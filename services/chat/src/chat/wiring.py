"""Opens and closes everything chat needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from chat.adapters.history import HistoryMessages, HistoryOwners
from chat.adapters.ledger import PostgresLedger
from chat.adapters.postgres import PostgresTurns
from chat.budgets import Budgets
from chat.catalogue import Catalogue, Model, load_catalogue
from chat.context import ContextSource
from chat.log_copy import NoCopy
from chat.measures import Measures
from chat.placement import Placement
from chat.plans import load_plans
from chat.providers.breaker import Breakers
from chat.providers.openai import OpenAIProvider, Timeouts, open_session
from chat.providers.retry import Retrying
from chat.readers import Readers
from chat.runner import Answers, Job, Runner
from chat.service import ChatService
from chat.settings import ChatSettings
from chat.turns import Supervisor
from parley import times
from parley.backing import open_backing
from parley.bus.ports import Bus
from parley.http import open_client
from parley.identity import Verifier
from parley.ids import new_id
from parley.runtime import Runtime
from parley.service_tokens import ServiceTokens

HISTORY_TIMEOUT = 5.0
FINISH_MARGIN = 3.0
"""Seconds before the end of the drain at which turns that still run are ended."""


@dataclass(frozen=True, slots=True)
class Wired:
    """What the API finds in ``app.state.wired``."""

    verifier: Verifier
    service: ChatService
    catalogue: Catalogue
    budgets: Budgets
    supervisor: Supervisor
    started_at: datetime


@contextlib.asynccontextmanager
async def wire(settings: ChatSettings, runtime: Runtime, *, bus: Bus | None = None) -> AsyncIterator[Wired]:
    """Open chat; ``bus`` is given when several services share a process."""
    catalogue, plans = load_catalogue(settings), load_plans(settings.plans_file)
    async with contextlib.AsyncExitStack() as stack:
        backing = await stack.enter_async_context(open_backing(settings, runtime, bus=bus))
        store = PostgresTurns(backing.pool, backing.relay.hint)
        budgets = Budgets(plans, PostgresLedger(store))
        measures = Measures(runtime.metrics.registry)
        answers = await stack.enter_async_context(open_answers(settings))
        client = await stack.enter_async_context(open_client(settings.history_url, read_timeout=HISTORY_TIMEOUT))
        tokens = ServiceTokens(
            client, auth_url=settings.auth_url, service="chat", secret=settings.internal_client_secret
        )
        owners, past = HistoryOwners(client, tokens), HistoryMessages(client)
        supervisor = await stack.enter_async_context(
            _supervisor(settings, runtime, store=store, answers=answers, measures=measures)
        )
        service = ChatService(
            store=store,
            catalogue=catalogue,
            placement=Placement(store, owners, past),
            contexts=ContextSource(store, past),
            budgets=budgets,
            supervisor=supervisor,
            readers=Readers(store, supervisor),
            turn_timeout=settings.turn_timeout,
            draining=runtime.lifecycle.drained,
        )
        yield Wired(backing.verifier, service, catalogue, budgets, supervisor, times.now())


@contextlib.asynccontextmanager
async def open_answers(settings: ChatSettings) -> AsyncIterator[Answers]:
    """Open the connections to the providers."""
    timeouts = Timeouts(settings.openai_timeout, settings.openai_timeout)
    async with open_session(settings.max_running_turns) as session:

        def provider_of(model: Model) -> OpenAIProvider:
            return OpenAIProvider(session, model.target, timeouts)

        yield Retrying(provider_of, Breakers(), max_retries=settings.openai_max_retries)


@contextlib.asynccontextmanager
async def _supervisor(
    settings: ChatSettings, runtime: Runtime, *, store: PostgresTurns, answers: Answers, measures: Measures
) -> AsyncIterator[Supervisor]:
    copy = NoCopy()

    def make_runner(job: Job) -> Runner:
        return Runner(
            job, store=store, copy=copy, answers=answers, measures=measures, answer_limit=settings.answer_limit
        )

    supervisor = Supervisor(
        make_runner,
        runner_id=new_id(),
        measures=measures,
        busy=runtime.lifecycle.request,
        limit=settings.max_running_turns,
    )

    async def interrupt_late() -> None:
        await runtime.lifecycle.drained.wait()
        await asyncio.sleep(max(0.0, settings.drain_delay + settings.drain_timeout - FINISH_MARGIN))
        supervisor.interrupt_all()

    async with supervisor.open():
        watch = asyncio.create_task(interrupt_late())
        try:
            yield supervisor
        finally:
            watch.cancel()
            await asyncio.wait({watch})
