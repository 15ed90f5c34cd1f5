"""Events of turns, as the projection stores them."""

from dataclasses import dataclass
from uuid import UUID

from history.projection.canonical_form import CanonicalForm
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import EventData, TurnEnded, TurnRedacted, TurnStarted

TurnTerms = tuple[str, str]
"""Search terms of the question and of the answer."""

_FORMS = {
    (name, model.schema_version): CanonicalForm(model)
    for model in (TurnStarted, TurnEnded, TurnRedacted)
    for name in model.names
}


@dataclass(slots=True)
class TurnEvent:
    """An event of a turn, and what of its data decides where it is stored. Ids are lower-case texts."""

    event: CloudEvent
    data: bytes
    """JSON as it is stored."""
    turn_id: str
    user_id: str
    conversation_id: str | None
    number: int
    stored: bool
    question_id: str | None
    question: str
    answer: str
    result_ids: tuple[str, ...] = ()
    """The results of tool calls."""
    terms: TurnTerms | None = None
    """None until they are found."""

    @property
    def is_end(self) -> bool:
        """Whether it is the terminal event, or replaces that."""
        return self.event.name not in TurnStarted.names

    @property
    def user(self) -> UUID:
        """The user of the turn."""
        return UUID(self.user_id)


def read_turn_event(event: CloudEvent) -> TurnEvent | EventData | None:
    """Return the turn event; the data of an event of another type, or None if that is unknown.

    Raise ``Rejected`` if the data does not fit the model of the event's type.
    """
    form = _FORMS.get((event.name, event.version))
    if form is not None and (members := form.read(event.data)) is not None:
        return _turn_event(event, members, event.data)
    data = decode(event)
    if not isinstance(data, TurnStarted | TurnEnded):
        return data
    return _turn_event(event, data, data.model_dump_json().encode())


def _turn_event(event: CloudEvent, members: TurnStarted | TurnEnded, data: bytes) -> TurnEvent:
    question, answer = members.user_message, getattr(members, "message", None)
    conversation = members.conversation_id
    return TurnEvent(
        event,
        data,
        str(members.turn_id),
        str(members.user_id),
        None if conversation is None else str(conversation),
        members.number,
        members.stored,
        str(question.id) if question else None,
        question.content if question else "",
        answer.content if answer else "",
        tuple([str(result.id) for result in members.tool_results]),
    )
