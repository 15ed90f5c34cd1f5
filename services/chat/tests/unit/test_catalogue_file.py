"""The model catalogue from the settings and from a file."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chat.catalogue import Catalogue
from chat.errors import ModelNotFound, ProviderUnavailable
from chat.providers.catalogue_file import load_catalogue
from chat.settings import OPENAI_BASE_URL, ChatSettings
from parley.config.settings import SettingsError


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
    ],
)
def test_an_invalid_file_names_the_mistake(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        from_file(tmp_path, text)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        catalogue_of(models_file=tmp_path / "missing.yaml")
