"""AsyncAPI document and JSON Schemas: up to date, complete, and compatible with the last release."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from parley_events import asyncapi
from parley_events.catalogue import CATALOGUE, model_of
from parley_events.models import EventData
from parley_testing.contracts.schema_changes import breaking_changes

ROOT = Path(__file__).parents[3]
BASELINE = Path(__file__).with_name("events_baseline.json")
"""The schemas of the last release. Replace the file at a release, never to make a test pass."""

TYPES = list(asyncapi.event_types())


def test_the_committed_documents_are_up_to_date() -> None:
    document = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8"))
    assert document == asyncapi.document(version("parley-events")), "run make docs"
    found = {path.name: json.loads(path.read_bytes()) for path in (ROOT / "docs/schemas").iterdir()}
    expected = {f"{name}.v{model.schema_version}.json": asyncapi.schema(name, model) for name, model in TYPES}
    assert found == expected, "run make docs"


@pytest.mark.parametrize(("name", "model"), TYPES)
def test_each_sample_is_valid_data_of_its_event_type(name: str, model: type[EventData]) -> None:
    sample = asyncapi.samples()[name]
    assert model_of(name) is model
    assert json.loads(model.model_validate(sample).model_dump_json()) == sample


@pytest.mark.parametrize(("name", "model"), TYPES)
def test_each_schema_names_every_member_and_requires_it(name: str, model: type[EventData]) -> None:
    schema = asyncapi.schema(name, model)
    assert schema["$id"] == f"urn:parley:schema:{name}:v1"
    assert set(schema["required"]) == set(schema["properties"]) == set(asyncapi.samples()[name])
    assert "additionalProperties" not in schema


def test_every_reference_in_the_document_resolves() -> None:
    document = asyncapi.document("1.2.3")
    references = re.findall(r'"\$ref":"#/([^"]+)"', json.dumps(document, separators=(",", ":")))
    assert references
    for reference in references:
        found: Any = document
        for step in reference.split("/"):
            found = found[step]
        assert found
    assert set(document["channels"]) == {name for name, _ in TYPES}


def test_the_events_page_shows_the_sample_of_every_type() -> None:
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    samples = asyncapi.samples()
    shown = dict(re.findall(r"^### `([\w.]+)`[^\n]*\n.*?```json\n(.*?)```", page, re.DOTALL | re.MULTILINE))
    assert set(shown) == {model.names[0] for model in CATALOGUE}
    assert all(json.loads(text) == samples[name] for name, text in shown.items())
    assert all(f"`{name}`" in page for name, _ in TYPES)


def test_the_schemas_are_compatible_with_the_last_release() -> None:
    baseline = json.loads(BASELINE.read_bytes())
    current = {schema["$id"]: schema for schema in (asyncapi.schema(name, model) for name, model in TYPES)}
    assert set(baseline) <= set(current), "a released type or version is gone"
    broken = {urn: breaking_changes(old, current[urn]) for urn, old in baseline.items()}
    assert not any(broken.values()), broken


def test_no_member_of_the_data_is_a_constant_because_code_generators_make_invalid_code_of_it() -> None:
    def has_constant(node: Any) -> bool:
        if isinstance(node, dict):
            return "const" in node or any(has_constant(value) for value in node.values())
        return isinstance(node, list) and any(has_constant(each) for each in node)

    assert not has_constant(asyncapi.document("1.2.3")["components"]["schemas"])
    assert not any(has_constant(asyncapi.schema(name, model)) for name, model in TYPES)
    assert asyncapi.schema(*TYPES[1])["properties"]["currency"]["enum"] == ["USD"]
