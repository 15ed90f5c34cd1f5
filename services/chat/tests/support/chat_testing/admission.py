"""Steps of admission tests on a ServiceBench."""

from uuid import UUID

from chat.admission.turn_job import TurnJob
from chat.admission.turn_request import TurnRequest
from chat.history import ConversationOwner
from chat.model import Turn
from chat.past_exchanges import PastExchange
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import make_outcome, make_request
from parley.ids import new_id


async def admit(bench: ServiceBench, request: TurnRequest) -> TurnJob:
    """Admit a turn and return its job."""
    model = bench.admission.select_model(request)
    job = await bench.admission.admit(request, model, bench.engine.runner_id, new_id())
    assert isinstance(job, TurnJob)
    return job


async def completed(bench: ServiceBench, request: TurnRequest, answer: str = "Hello") -> Turn:
    """Admit a turn and store its answer."""
    job = await admit(bench, request)
    turn = await bench.engine.turns.finish(job.turn, make_outcome(answer))
    assert turn is not None
    return turn


def follow_up(turn: Turn, **changed: object) -> TurnRequest:
    """Return a request for the next turn of a conversation."""
    return make_request(user_id=turn.user_id, conversation_id=turn.conversation_id, **changed)


def adopt(bench: ServiceBench, user_id: UUID) -> tuple[UUID, UUID]:
    """Give history a conversation of a user; returns the conversation and its newest answer."""
    conversation_id, answer_id = new_id(), new_id()
    bench.history.owners[conversation_id] = ConversationOwner(user_id, False, 7, answer_id)
    bench.history.past[answer_id] = [PastExchange(answer_id, None, "Which colour?", "Blue.")]
    return conversation_id, answer_id
