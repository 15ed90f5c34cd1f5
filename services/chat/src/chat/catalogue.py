"""The models people can ask for: one from the settings, or many from the operator's file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat.errors import ModelNotFound, ProviderUnavailable
from chat.prices import Price


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model is served. A key goes to the host of its own entry and nowhere else."""

    base_url: str
    api_key: str | None

    def __repr__(self) -> str:
        return f"Target({self.base_url!r})"


@dataclass(frozen=True, slots=True)
class Model:
    """One alias of the catalogue."""

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


class Catalogue:
    """All models by alias; the first, or the one called so in the file, is the default."""

    def __init__(self, models: Mapping[str, Model], default: str | None) -> None:
        self._models, self.default = dict(models), default

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def find(self, alias: str | None) -> Model:
        """Return the model; raises ModelNotFound, or ProviderUnavailable when none is configured."""
        if self.default is None:
            raise ProviderUnavailable("No model is configured.")
        model = self._models.get(alias or self.default)
        if model is None:
            raise ModelNotFound
        return model

    def with_fallbacks(self, model: Model) -> list[Model]:
        """Return the model and what to ask instead when it fails, in order."""
        return [model, *(self._models[alias] for alias in model.fallbacks)]
