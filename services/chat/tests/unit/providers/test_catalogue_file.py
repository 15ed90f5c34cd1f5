"""The model catalogue from the settings and from a file."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from chat.catalogue import Catalogue
from chat.errors import ModelNotFound, ProviderUnavailable
from chat.providers import catalogue_file
from chat.providers.catalogue_file import load_catalogue
from chat.settings import OPENAI_BASE_URL, ChatSettings
from parley.config.settings import SettingsError
from parley_events.parts import Usage


def catalogue_of(**settings: Any) -> Catalogue:
    return load_catalogue(ChatSettings.model_construct(**settings))


def from_file(tmp_path: Path, text: str, **settings: Any) -> Catalogue:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return catalogue_of(models_file=path, **settings)


def test_without_a_key_and_a_base_url_there_is_no_model() -> None:
    catalogue = catalogue_of()
    assert list(catalogue) == []
    with pytest.raises(ProviderUnavailable):
        catalogue.find(None)


def test_the_settings_describe_the_default_model() -> None:
    catalogue = catalogue_of(openai_api_key=SecretStr("key"), openai_model="gpt-x", model_context_window=1000)
    model = catalogue.find(None)
    assert (model.alias, model.provider_model, model.context_window) == ("default", "gpt-x", 1000)
    assert (model.provider, model.target.base_url, model.target.api_key) == ("openai", OPENAI_BASE_URL, "key")
    assert model.max_output_tokens == 999
    assert "key" not in repr(model.target)


MODELS = """
default: small
models:
  large: {provider_model: large-1, fallbacks: [small], pricing: {input_per_million: 1, output_per_million: 2}}
  small: {provider_model: small-1, name: Small, provider: local, base_url: "http://local/v1/"}
"""


def test_a_file_describes_models_fallbacks_and_prices(tmp_path: Path) -> None:
    catalogue = from_file(tmp_path, MODELS, openai_api_key=SecretStr("key"))
    small, large = catalogue.find(None), catalogue.find("large")
    assert (small.alias, small.name, small.target.base_url, small.target.api_key) == (
        "small",
        "Small",
        "http://local/v1",
        None,
    )
    assert catalogue.with_fallbacks(large) == [large, small]
    assert large.price is not None
    assert large.price.output_per_million == Decimal(2)
    with pytest.raises(ModelNotFound):
        catalogue.find("unknown")


def test_a_key_file_is_read_for_its_own_entry_only(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    entry = f'{{provider_model: a, base_url: "http://a", api_key_file: "{tmp_path / "key"}"}}'
    catalogue = from_file(tmp_path, f"models: {{a: {entry}, b: {{provider_model: b, base_url: 'http://b'}}}}")
    assert [model.target.api_key for model in catalogue] == ["secret", None]
    assert catalogue.default == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "not valid YAML"),
        ("models: {a: {}}", "models.a.provider_model"),
        ("models: {a: {provider_model: a, colour: red}}", "models.a.colour"),
        ("default: b\nmodels: {a: {provider_model: a}}", "only name models of the file"),
        ("models: {a: {provider_model: a, fallbacks: [b]}}", "only name models of the file"),
        ('models: {a: {provider_model: a, base_url: "http://a", api_key_file: /missing}}', "api_key_file"),
        ("models: {a: {provider_model: a, max_concurrent: 1}, b: {provider_model: b, max_concurrent: 2}}", "same"),
        ("models: {a: {provider_model: a, timeout: 0}}", "models.a.timeout"),
        ("models: {a: {provider_model: a, kind: google}}", "models.a.kind"),
    ],
)
def test_an_invalid_file_names_the_mistake(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        from_file(tmp_path, text)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        catalogue_of(models_file=tmp_path / "missing.yaml")


def test_the_models_of_a_server_share_its_limit_of_calls(tmp_path: Path) -> None:
    catalogue = from_file(tmp_path, "models: {a: {provider_model: a, max_concurrent: 3}, b: {provider_model: b}}")
    assert [model.target.max_concurrent for model in catalogue] == [3, 3]


EXAMPLE = Path(__file__).parents[5] / "deploy" / "models.example.yaml"


def example(tmp_path: Path) -> Catalogue:
    (tmp_path / "key").write_text("secret\n")
    text = re.sub(r"/run/secrets/\w+", str(tmp_path / "key"), EXAMPLE.read_text())
    return from_file(tmp_path, text, openai_api_key=SecretStr("key"))


def test_the_example_file_is_valid_and_has_every_member(tmp_path: Path) -> None:
    catalogue = example(tmp_path)
    large = catalogue.find("large")
    assert catalogue.find(None).alias == "fast"
    assert catalogue.with_fallbacks(large) == [large, catalogue.find("fast")]
    assert set(yaml.safe_load(EXAMPLE.read_text())["models"]["large"]) == set(catalogue_file._ModelEntry.model_fields)
    assert (large.target.api_key, large.target.timeout, large.target.max_concurrent) == ("secret", 30, 50)
    assert (large.system_prompt, large.default_max_tokens) == ("Answer in the user's language.", 2048)
    assert "chunking" in large.parameters
    claude = catalogue.find("claude")
    assert (claude.provider, claude.target.kind, claude.price is not None) == ("anthropic", "anthropic", True)


def test_a_price_of_the_operator_is_the_cost_at_a_host_without_a_listed_price(tmp_path: Path) -> None:
    entry = """{provider_model: m, base_url: "http://10.0.0.1:8000/v1", pricing:
      {input_per_million: 0.075, output_per_million: 0.000000001}}"""
    price = from_file(tmp_path, f"models: {{own: {entry}}}").find("own").price
    assert price is not None
    assert (price.input_per_million, price.output_per_million) == (Decimal("0.075"), Decimal("1E-9"))
    assert price.of(Usage(prompt_tokens=1000, completion_tokens=0, total_tokens=1000)) == Decimal("0.000075")
    free = example(tmp_path).find("own").price
    assert free is not None
    assert free.of(Usage(prompt_tokens=9, completion_tokens=9, total_tokens=18)) == 0


@pytest.mark.parametrize(
    ("base_url", "kind", "accepts_top_k", "capabilities"),
    [
        (OPENAI_BASE_URL, None, False, ("stream", "tools", "vision", "image_urls")),
        ("http://own/v1", None, True, ("stream",)),
        ("http://own/v1", "openai", False, ("stream", "tools", "vision", "image_urls")),
        ("http://own/v1", "anthropic", True, ("stream", "tools", "vision", "image_urls")),
    ],
)
def test_the_kind_of_a_server_decides_what_is_forwarded(
    tmp_path: Path, base_url: str, kind: str | None, accepts_top_k: bool, capabilities: tuple[str, ...]
) -> None:
    rest = f", kind: {kind}" if kind else ""
    model = from_file(tmp_path, f'models: {{a: {{provider_model: a, base_url: "{base_url}"{rest}}}}}').find(None)
    assert ("top_k" in model.parameters, model.capabilities) == (accepts_top_k, capabilities)


def test_a_model_of_anthropic_needs_only_its_kind_and_its_own_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    entries = f"""{{keyed: {{provider_model: claude-x, kind: anthropic, api_key_file: "{tmp_path / "key"}"}},
      keyless: {{provider_model: claude-x, kind: anthropic}}}}"""
    catalogue = from_file(tmp_path, f"models: {entries}", openai_api_key=SecretStr("other"), openai_base_url="http://x")
    keyed, keyless = catalogue
    assert (keyed.target.base_url, keyed.provider) == ("https://api.anthropic.com/v1", "anthropic")
    assert (keyed.target.api_key, keyless.target.api_key) == ("secret", None)
    assert "seed" not in keyed.parameters
