"""Catalogue of the available models."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from chat.errors import ModelNotFound, ProviderUnavailable
from chat.parameters import FORWARDED, ProviderKind
from chat.price import Price

EMBEDDINGS = "embeddings"
"""Capability of models that make embeddings and nothing else."""


@dataclass(frozen=True, slots=True)
class Target:
    """Base URL and API key of a model server. The key is only sent to this URL."""

    base_url: str
    api_key: str | None
    kind: ProviderKind = "compatible"
    timeout: float | None = None
    """Seconds to wait for the first byte and between tokens. None selects the setting."""
    max_concurrent: int | None = None
    """Maximum concurrent calls of a process."""

    def __repr__(self) -> str:
        return f"Target({self.base_url!r})"


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue."""

    alias: str
    provider_model: str
    name: str
    provider: str
    target: Target
    context_window: int
    max_output_tokens: int
    capabilities: tuple[str, ...] = ("stream",)
    temperature: float | None = None
    price: Price | None = None
    fallbacks: tuple[str, ...] = ()
    parameters: frozenset[str] = FORWARDED["compatible"]
    """Request parameters that are forwarded to the provider."""
    system_prompt: str | None = None
    """System prompt of requests that have none."""
    default_max_tokens: int | None = None
    """Maximum answer length of requests that have none; at most ``max_output_tokens``."""


NO_MODEL = "This server has no model. Its operator can set OPENAI_API_KEY, OPENAI_BASE_URL or MODELS_FILE."


class Catalogue:
    """The models by alias, and the alias of the default model."""

    def __init__(self, models: Mapping[str, Model], default: str | None) -> None:
        self._models, self.default = dict(models), default

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def find(self, alias: str | None, allows: Callable[[str], bool] = lambda _: True) -> Model:
        """Return a model that the plan ``allows``, the default one for None.

        Raises ModelNotFound, and ProviderUnavailable without any model.
        """
        if self.default is None:
            raise ProviderUnavailable(NO_MODEL, lasting=True)
        model = self._models.get(alias or self.default)
        if model is None or not allows(model.alias):
            raise ModelNotFound(each.alias for each in self if allows(each.alias))
        return model

    def with_fallbacks(self, model: Model) -> list[Model]:
        """Return the model, followed by its fallbacks in order."""
        return [model, *(self._models[alias] for alias in model.fallbacks)]
