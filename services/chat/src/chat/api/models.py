"""Routes that list the models: Parley's and OpenAI's."""

from typing import Any

from fastapi import APIRouter

from chat.api.dependencies import Anyone, ApiServices, Services
from chat.catalogue import Model
from chat.errors import ModelNotFound
from chat.protocols.parley.schemas import ModelPage, ModelResource, Pricing
from parley.web.openapi import problems
from parley.web.schemas import money

router = APIRouter(tags=["models"])

OPENAI_MODEL = {"id": "default", "object": "model", "created": 1795307719, "owned_by": "parley"}
OPENAI_MODELS = {"object": "list", "data": [OPENAI_MODEL]}


@router.get("/api/v1/models")
async def list_models(principal: Anyone, services: Services) -> ModelPage:
    """List the models. ``default`` is used when a request names none.

    ``available`` is false while the model's server fails and no request is sent to it.
    """
    plan = services.budgets.plan(principal.plan)
    data = [
        _resource(model, available=services.generator.is_available(model))
        for model in services.catalogue
        if plan.allows(model.alias)
    ]
    return ModelPage(data=data, next_cursor=None, default=services.catalogue.default)


@router.get("/v1/models", responses={200: {"content": {"application/json": {"example": OPENAI_MODELS}}}})
async def list_openai_models(principal: Anyone, services: Services) -> dict[str, Any]:
    """List the models in OpenAI's format."""
    plan = services.budgets.plan(principal.plan)
    data = [_openai_resource(model, services) for model in services.catalogue if plan.allows(model.alias)]
    return {"object": "list", "data": data}


@router.get(
    "/v1/models/{model_id:path}",
    responses={200: {"content": {"application/json": {"example": OPENAI_MODEL}}}, **problems(ModelNotFound)},
)
async def get_openai_model(model_id: str, principal: Anyone, services: Services) -> dict[str, Any]:
    """Return one model in OpenAI's format."""
    model = services.catalogue.find(model_id, services.budgets.plan(principal.plan).allows)
    return _openai_resource(model, services)


def _openai_resource(model: Model, services: ApiServices) -> dict[str, Any]:
    created = int(services.started_at.timestamp())
    return {"id": model.alias, "object": "model", "created": created, "owned_by": "parley"}


def _resource(model: Model, *, available: bool) -> ModelResource:
    price = model.price
    pricing = None
    if price is not None:
        cached = price.cached_input_per_million
        pricing = Pricing(
            input_per_million=money(price.input_per_million),
            output_per_million=money(price.output_per_million),
            cached_input_per_million=None if cached is None else money(cached),
            version=price.version,
        )
    return ModelResource(
        id=model.alias,
        name=model.name,
        provider=model.provider,
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        pricing=pricing,
        capabilities=list(model.capabilities),
        available=available,
    )
