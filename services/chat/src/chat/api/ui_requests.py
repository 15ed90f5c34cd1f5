"""Turn requests of the AI SDK's chat transport: what is new in the messages that a frontend shows."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request

from chat.admission.turn_request import TurnRequest
from chat.api.dependencies import ApiServices
from chat.api.file_checks import is_address
from chat.api.request_checks import capabilities, invalid, unsupported_type
from chat.api.request_parsing import cache_policy_of
from chat.api.ui_files import file_item, has_files_of
from chat.errors import TurnNotFound
from chat.input_items import messages_of_items
from chat.model import IdempotencyKey, ToolResult, Turn
from chat.protocols.parley.schemas import MAX_TEXT
from chat.protocols.ui_messages.schemas import FILE, UiChatRequest, UiMessage, UiPart
from chat.service import ChatService
from parley.ids import new_id, parse_id
from parley.security.identity import Principal

NO_MESSAGE = "The last message must be one of the user, or an answer whose tool calls have their outputs."
LONG_MESSAGE = f"Must have at most {MAX_TEXT:,} characters."
TEXT_AND_FILES = "Parts of the types `text` and `file` are supported in a message of the user."
DUPLICATE_OUTPUT = "The last message has two outputs of one tool call."
DENIED = "The user has denied the call."
MAX_STEPS = 50
"""Answers to tool results that are followed back to a question. Behind more, only its text is compared."""


async def to_turn_request(
    body: UiChatRequest, request: Request, principal: Principal, key: IdempotencyKey | None, services: ApiServices
) -> TurnRequest:
    """Return the turn request of a body; raises InvalidRequest, UnsupportedContent and ModelNotFound."""
    shown = body.shown
    results = _tool_results(shown[-1].answered_calls) if shown and body.trigger == "submit-message" else ()
    regenerated = await _regenerated(body, principal, services) if _regenerates(body) else None
    message = None if regenerated or results else _question(shown)
    found = TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        request_id=request.scope["parley"].request_id,
        message=message,
        regenerate=regenerated,
        conversation_id=body.id,
        create=True,
        parent_id=None if regenerated else _parent(body),
        system_prompt=body.system_prompt,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        metadata=body.metadata,
        key=key,
        options=body.options(),
        tool_results=results,
        answers_tool_results=bool(results),
        results_at="/messages",
        cache_policy=cache_policy_of(request),
    )
    return found if message is None or not shown[-1].has_files else _with_files(found, body, principal, services)


def _with_files(request: TurnRequest, body: UiChatRequest, principal: Principal, services: ApiServices) -> TurnRequest:
    """Return the request with the files of the last message."""
    model = services.catalogue.find(body.model, services.budgets.plan(principal.plan).allows)
    at = f"/messages/{len(body.shown) - 1}/parts"
    files = [
        file_item(part, f"{at}/{position}", model)
        for position, part in enumerate(body.shown[-1].parts)
        if part.type == FILE
    ]
    text = [{"type": "input_text", "text": request.message}] if request.message else []
    item = {"type": "message", "role": "user", "content": [*text, *files]}
    urls = [file["image_url"] for file in files if "image_url" in file]
    return replace(
        request,
        capabilities=capabilities(images=bool(urls), calls=False, urls=any(map(is_address, urls))),
        input_messages=messages_of_items([item]),
        response={"input": [item]},
    )


def _regenerates(body: UiChatRequest) -> bool:
    return body.trigger == "regenerate-message"


async def _regenerated(body: UiChatRequest, principal: Principal, services: ApiServices) -> UUID | None:
    """Return the answer to regenerate. Without its ID, it is the newest one to the last message that is shown."""
    given = parse_id(body.message_id) if body.message_id else None
    if given is not None:
        return given
    listed = await services.service.list_turns(
        principal.user_id, conversation_id=body.id, status=None, before=None, limit=1
    )
    newest = listed.turns[0] if listed.turns else None
    asked = _last_of_user(body.shown)
    if newest is None or asked is None or newest.user_message != asked.text:
        return None
    question = await _question_turn(newest, services.service)
    if question is None:
        return newest.id

    async def read(files: list[dict[str, Any]]) -> str:
        message = messages_of_items([{"type": "message", "role": "user", "content": files}])
        model = services.catalogue.find(body.model, services.budgets.plan(principal.plan).allows)
        return str((await services.service.with_files(principal.user_id, message, model))[0]["content"])

    return newest.id if await has_files_of(asked, question, read) else None


async def _question_turn(turn: Turn, service: ChatService) -> Turn | None:
    """Return the turn that has the question's files; None if it is too far behind tool results, or gone."""
    for _ in range(MAX_STEPS):
        if not turn.continues or turn.parent_id is None:
            return turn
        try:
            turn = await service.get(turn.user_id, turn.parent_id)
        except TurnNotFound:
            return None
    return None


def _parent(body: UiChatRequest) -> UUID | None:
    """Return the answer that the new message follows; None: the newest one. The first message of a chat has none."""
    answers = [answer for message in body.shown if (answer := message.answer_id) is not None]
    if answers:
        return answers[-1]
    return body.id if body.message_id is not None or _regenerates(body) else None


def _question(shown: list[UiMessage]) -> str:
    if not shown or shown[-1].role != "user":
        raise invalid("/messages", "required", NO_MESSAGE)
    last = shown[-1]
    for position, part in enumerate(last.parts):
        if part.type not in {"text", FILE}:
            raise unsupported_type(f"/messages/{len(shown) - 1}/parts/{position}", TEXT_AND_FILES)
    if not last.text.strip() and not last.has_files:
        raise invalid("/messages", "blank", "The message must not be blank.")
    if len(last.text) > MAX_TEXT:
        raise invalid("/messages", "too_long", LONG_MESSAGE)
    return last.text


def _last_of_user(shown: list[UiMessage]) -> UiMessage | None:
    return next((message for message in reversed(shown) if message.role == "user"), None)


def _tool_results(calls: list[UiPart]) -> tuple[ToolResult, ...]:
    if len({call.tool_call_id for call in calls}) < len(calls):
        raise invalid("/messages", "duplicate", DUPLICATE_OUTPUT)
    return tuple(ToolResult(new_id(), call.tool_call_id, _output(call)) for call in calls)


def _output(call: UiPart) -> str:
    if call.state == "output-denied":
        return DENIED
    if call.state == "output-error":
        return f"Error: {call.error_text or ''}"
    return call.output if isinstance(call.output, str) else orjson.dumps(call.output).decode()
