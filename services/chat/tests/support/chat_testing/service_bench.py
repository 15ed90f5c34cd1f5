"""The chat service on in-memory stores."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from chat.admission.admission import TurnAdmission
from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextLoader
from chat.admission.plans import ChatPlan
from chat.admission.position import PositionResolver
from chat.admission.prompt_files import PromptFiles
from chat.admission.token_limits import TokenLimits
from chat.files.store import FileRows
from chat.files.text_extractor import TextExtractor
from chat.files.texts import FileTexts
from chat.model import Turn
from chat.running.readers import TurnReaders
from chat.running.remote_logs import RemoteLogs
from chat.service import ChatService, OpenedTurn
from chat_testing.bench import EngineBench
from chat_testing.history import FakeHistory
from chat_testing.stores import InMemoryRateLimiter
from parley.config.plans import Plans
from parley_testing import eventually


@dataclass
class ServiceBench:
    """A ChatService on an EngineBench, a fake history, the plan ``plan`` and other ``plans`` by name."""

    engine: EngineBench = field(default_factory=EngineBench)
    history: FakeHistory = field(default_factory=FakeHistory)
    limiter: InMemoryRateLimiter = field(default_factory=InMemoryRateLimiter)
    plan: ChatPlan = field(default_factory=lambda: ChatPlan(tokens_per_minute=None))
    files: FileRows | None = None
    plans: Mapping[str, ChatPlan] = field(default_factory=dict)
    texts: FileTexts = field(default_factory=lambda: FileTexts(None, None, TextExtractor()))

    def __post_init__(self) -> None:
        engine = self.engine
        self.draining = asyncio.Event()
        self.remote_logs = RemoteLogs(engine.logs, engine.turns)
        self.admission = TurnAdmission(
            store=engine.turns,
            catalogue=engine.catalogue,
            positions=PositionResolver(engine.turns, self.history),
            contexts=ContextLoader(engine.turns, self.history),
            budgets=Budgets(Plans(self.plans, self.plan), engine.turns),
            token_limits=TokenLimits(self.limiter),
            turn_timeout=600,
            files=PromptFiles(self.files, self.texts),
        )
        self.readers = TurnReaders(engine.supervisor, self.remote_logs, engine.logs)
        self.service = ChatService(
            store=engine.turns,
            admission=self.admission,
            supervisor=engine.supervisor,
            readers=self.readers,
            draining=self.draining,
            abandon_delay=0,
        )

    async def ended(self, opened: OpenedTurn) -> Turn:
        """Return an opened turn once it is no longer running."""
        await eventually(lambda: not self.engine.turns.turns[opened.turn.id].running)
        return self.engine.turns.turns[opened.turn.id]
