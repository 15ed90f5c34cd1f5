"""``POST /v1/embeddings`` in OpenAI's format. A call is a turn without a conversation: metered, not listed."""

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.admission.turn_request import CachePolicy, TurnRequest
from chat.api.chat import JSON, failure_of
from chat.api.dependencies import Caller, Services
from chat.api.documentation import RESULT_ERRORS, json_docs
from chat.api.request_checks import refuse_parameters, require_model
from chat.api.request_parsing import opened_headers
from chat.generation import EmbeddingCall
from chat.protocols.openai_embeddings import EmbeddingRequest, answer, inputs_of, tokens_of
from parley.errors import InvalidRequest
from parley.web.app import JsonRoute

router = APIRouter(prefix="/v1/embeddings", route_class=JsonRoute, tags=["openai"])

SPECIAL_TOKENS = 8
"""Tokens that a server may add to an input."""
NO_KEY = "Embeddings are not kept, so a repeated request would be billed again. Omit the header Idempotency-Key."
EXAMPLE = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.0023, -0.0093]}],
    "model": "embeddings",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}
EMBEDDINGS = json_docs("The embeddings.", EXAMPLE)


@router.post("", response_class=Response, responses={**EMBEDDINGS, **RESULT_ERRORS})
async def create_embeddings(
    body: EmbeddingRequest, request: Request, principal: Caller, services: Services
) -> Response:
    """Return the embeddings of texts by a model with the capability `embeddings`."""
    _check(body, request)
    model = services.catalogue.find(body.model, services.budgets.plan(principal.plan).allows)
    inputs = inputs_of(body)
    tokens = tokens_of(inputs, model.context_window)
    longest = sum(len(each.encode()) if isinstance(each, str) else len(each) for each in inputs)
    call = EmbeddingCall(body.body(), len(inputs), longest + SPECIAL_TOKENS * len(inputs))
    with services.embedding_calls.running(principal.user_id):
        opened = await services.service.open(
            TurnRequest(
                user_id=principal.user_id,
                plan=principal.plan,
                request_id=request.scope["parley"].request_id,
                message="",
                model=body.model,
                stored=False,
                embedding=services.embedding_calls.generators.embedding(call),
                prompt_tokens=tokens,
                cache_policy=CachePolicy(read=False, write=False),
            )
        )
        turn = await services.service.ended(opened.turn)
        if turn is None or turn.running:
            raise errors.TurnPending(opened.turn.id)
        if turn.status == "cancelled":
            raise errors.TurnCancelled(turn.id)
        if turn.status != "completed":
            raise failure_of(turn)
        found = orjson.dumps(answer(turn, call.result))
    return Response(found, media_type=JSON, headers=opened_headers(opened))


def _check(body: EmbeddingRequest, request: Request) -> None:
    """Raise InvalidRequest for what is not offered: nothing that a client asks for is dropped silently."""
    if "idempotency-key" in request.headers:
        raise InvalidRequest(NO_KEY)
    require_model(body.model)
    refuse_parameters(body.unknown)
