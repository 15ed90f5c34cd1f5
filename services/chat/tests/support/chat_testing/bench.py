"""The turn engine's parts on in-memory stores."""

import contextlib
from dataclasses import dataclass, field
from uuid import UUID

from prometheus_client import CollectorRegistry

from chat.admission.response_cache import CacheLookup
from chat.admission.turn_job import AnswerTerms, TurnJob
from chat.catalogue import Catalogue
from chat.generation import Prompt
from chat.metrics import ChatMetrics
from chat.model import Turn
from chat.running.lease import RunnerLease
from chat.running.log_replication import LogReplicator
from chat.running.recovery import Recovery
from chat.running.runner import Runner
from chat.running.supervisor import Supervisor
from chat_testing.generator import ScriptedEmbeddings, ScriptedGenerator
from chat_testing.log_store import InMemoryLogStore
from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turns import MODEL, make_catalogue, make_new_turn
from parley.ids import new_id

PROMPT = Prompt([{"role": "user", "content": "Hi"}], 100)


@dataclass
class EngineBench:
    """Runner, supervisor and recovery on in-memory stores. ``now`` is the lease's clock in seconds."""

    turns: InMemoryTurnStore = field(default_factory=InMemoryTurnStore)
    logs: InMemoryLogStore = field(default_factory=InMemoryLogStore)
    generator: ScriptedGenerator = field(default_factory=ScriptedGenerator)
    embeddings: ScriptedEmbeddings = field(default_factory=ScriptedEmbeddings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    runner_id: UUID = field(default_factory=new_id)
    catalogue: Catalogue = field(default_factory=make_catalogue)
    answer_limit: int = 1000
    pending_after: float = 30.0
    limit: int = 10
    now: float = 0.0

    def __post_init__(self) -> None:
        self.fenced: list[UUID] = []
        self.cancelled: list[UUID] = []
        self.settled: list[Turn] = []
        self.metrics = ChatMetrics(self.registry)
        self.lease = RunnerLease(self.turns, self.runner_id, self.cancelled.append, clock=lambda: self.now)
        self.replicator = LogReplicator(self.logs, self.lease, self.fenced.append, self.metrics)
        self.supervisor = Supervisor(
            self.runner,
            runner_id=self.runner_id,
            metrics=self.metrics,
            track=contextlib.nullcontext,
            limit=self.limit,
        )
        self.recovery = Recovery(
            store=self.turns,
            runners=self.turns,
            log_store=self.logs,
            supervisor=self.supervisor,
            lease=self.lease,
            catalogue=self.catalogue,
            metrics=self.metrics,
            seal_timeout=0.0,
        )

    def runner(self, job: TurnJob) -> Runner:
        return Runner(
            job,
            store=self.turns,
            replicator=self.replicator,
            generator=self.generator,
            metrics=self.metrics,
            answer_limit=self.answer_limit,
            pending_after=self.pending_after,
        )

    async def admit(self, **changed: object) -> Turn:
        """Store a running turn of this runner."""
        new = make_new_turn(**changed)
        await self.turns.admit(new, self.runner_id, None)
        return self.turns.turns[new.id]

    async def job(self, *, cache_lookup: CacheLookup | None = None, capped: bool = False, **changed: object) -> TurnJob:
        """Admit a turn; returns its job."""

        async def settle(turn: Turn) -> None:
            self.settled.append(turn)

        turn = await self.admit(**changed)
        return TurnJob(turn, [MODEL], AnswerTerms(PROMPT, capped), None, settle, cache_lookup)
