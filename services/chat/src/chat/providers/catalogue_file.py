"""Model catalogue from settings or from ``MODELS_FILE``."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chat.catalogue import EMBEDDINGS, Catalogue, Model, Target
from chat.parameters import FORWARDED, ProviderKind
from chat.price import Price
from chat.providers.price_list import listed_price
from chat.settings import OPENAI_BASE_URL, ChatSettings
from parley.config.settings import SettingsError

ANTHROPIC_BASE_URL = "https://api.anthropic.com/v1"
_PROVIDERS = {OPENAI_BASE_URL: "openai", ANTHROPIC_BASE_URL: "anthropic"}
"""Names of providers in the price list, by their base URL. The others have the name of their host."""
_ALL = ("stream", "tools", "vision", "image_urls")
CAPABILITIES: dict[ProviderKind, tuple[str, ...]] = {"openai": _ALL, "compatible": ("stream",), "anthropic": _ALL}
"""Capabilities of models that the file does not describe."""


class _PriceEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    input_per_million: Decimal = Field(ge=0)
    output_per_million: Decimal = Field(ge=0)
    cached_input_per_million: Decimal | None = Field(None, ge=0)
    version: str = "operator"


class _ModelEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    provider_model: str
    name: str | None = None
    provider: str | None = None
    base_url: str | None = None
    api_key_file: Path | None = None
    context_window: int = Field(128_000, ge=256)
    max_output_tokens: int = Field(4096, ge=1)
    kind: ProviderKind | None = None
    capabilities: tuple[str, ...] | None = None
    parameters: tuple[str, ...] = ()
    temperature: float | None = Field(None, ge=0, le=2)
    system_prompt: str | None = Field(None, min_length=1, max_length=32_000)
    max_tokens: int | None = Field(None, ge=1)
    timeout: float | None = Field(None, gt=0, le=3600)
    max_concurrent: int | None = Field(None, ge=1)
    pricing: _PriceEntry | None = None
    fallbacks: tuple[str, ...] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    default: str | None = None
    models: dict[str, _ModelEntry]


def load_catalogue(settings: ChatSettings) -> Catalogue:
    """Return the catalogue; raises SettingsError if the file is invalid."""
    if settings.models_file is not None:
        return _from_file(settings, settings.models_file)
    if settings.openai_api_key is None and settings.openai_base_url is None:
        return Catalogue({}, None)
    entry = _ModelEntry(
        provider_model=settings.openai_model,
        name=settings.model_name,
        provider=settings.model_provider,
        context_window=settings.model_context_window,
        max_output_tokens=settings.model_max_output_tokens,
    )
    return Catalogue({"default": _model("default", entry, settings)}, "default")


def _from_file(settings: ChatSettings, path: Path) -> Catalogue:
    try:
        found = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"MODELS_FILE: the file cannot be read: {os.strerror(error.errno or 0)}") from None
    except yaml.YAMLError:
        raise SettingsError("MODELS_FILE: the file is not valid YAML") from None
    except ValidationError as error:
        lines = (f"MODELS_FILE: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError("\n".join(lines)) from None
    default = found.default or next(iter(found.models), None)
    unknown = [a for entry in found.models.values() for a in entry.fallbacks if a not in found.models]
    if unknown or (default and default not in found.models):
        raise SettingsError("MODELS_FILE: `default` and `fallbacks` may only name models of the file")
    models = {alias: _model(alias, entry, settings) for alias, entry in found.models.items()}
    _check_embeddings(models, default)
    limits = _call_limits(model.target for model in models.values())
    return Catalogue({alias: _limited(model, limits) for alias, model in models.items()}, default)


def _call_limits(targets: Iterable[Target]) -> dict[str, int]:
    """Return the maximum concurrent calls by base URL."""
    limits: dict[str, int] = {}
    for target in targets:
        limit = target.max_concurrent
        if limit is not None and limits.setdefault(target.base_url, limit) != limit:
            raise SettingsError("MODELS_FILE: models of one `base_url` must have the same `max_concurrent`")
    return limits


def _check_embeddings(models: Mapping[str, Model], default: str | None) -> None:
    """Raise SettingsError where a model that only makes embeddings would have to answer."""
    for alias, model in models.items():
        if EMBEDDINGS not in model.capabilities:
            if any(EMBEDDINGS in models[other].capabilities for other in model.fallbacks):
                raise SettingsError(f"MODELS_FILE: {alias}: a model of embeddings cannot be a fallback")
        elif alias == default or model.fallbacks or model.target.kind == "anthropic":
            detail = "is not `default`, has no `fallbacks`, and is not of the kind `anthropic`"
            raise SettingsError(f"MODELS_FILE: {alias}: a model of embeddings {detail}")


def _limited(model: Model, limits: Mapping[str, int]) -> Model:
    limit = limits.get(model.target.base_url)
    return replace(model, target=replace(model.target, max_concurrent=limit))


def _model(alias: str, entry: _ModelEntry, settings: ChatSettings) -> Model:
    target = _target(entry, settings)
    host = urlsplit(target.base_url).hostname or ""
    provider = entry.provider or next(
        (name for url, name in _PROVIDERS.items() if target.base_url.startswith(url)), host
    )
    kind = target.kind
    pricing = entry.pricing
    price = Price(**pricing.model_dump()) if pricing else listed_price(provider, entry.provider_model)
    return Model(
        alias=alias,
        provider_model=entry.provider_model,
        name=entry.name or entry.provider_model,
        provider=provider,
        target=target,
        context_window=entry.context_window,
        max_output_tokens=min(entry.max_output_tokens, entry.context_window - 1),
        capabilities=CAPABILITIES[kind] if entry.capabilities is None else entry.capabilities,
        temperature=entry.temperature,
        price=price,
        fallbacks=entry.fallbacks,
        parameters=FORWARDED[kind] | set(entry.parameters),
        system_prompt=entry.system_prompt,
        default_max_tokens=entry.max_tokens,
    )


def _target(entry: _ModelEntry, settings: ChatSettings) -> Target:
    configured = ANTHROPIC_BASE_URL if entry.kind == "anthropic" else settings.openai_base_url or OPENAI_BASE_URL
    base_url = (entry.base_url or configured).rstrip("/")
    kind: ProviderKind = entry.kind or ("openai" if base_url == OPENAI_BASE_URL else "compatible")
    return Target(base_url, _key(entry, settings), kind, entry.timeout, entry.max_concurrent)


def _key(entry: _ModelEntry, settings: ChatSettings) -> str | None:
    """Return the key of an entry. The key of the settings is only for the base URL of the settings."""
    if entry.base_url is None and entry.kind != "anthropic":
        return settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    try:
        return entry.api_key_file.read_text(encoding="utf-8").strip() if entry.api_key_file else None
    except OSError:
        raise SettingsError("MODELS_FILE: an `api_key_file` cannot be read") from None
