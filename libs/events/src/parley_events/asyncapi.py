"""AsyncAPI 3.0 document and JSON Schemas of the events, generated from the event models."""

import inspect
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from pydantic.json_schema import models_json_schema

from parley_events.catalogue import CATALOGUE
from parley_events.cloudevents import CONTENT_TYPE, TYPE_PREFIX
from parley_events.models import EventData

ASYNCAPI_VERSION = "3.0.0"
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXCHANGE = "parley.events"
BINDING_VERSION = "0.3.0"
_ANY_SERVICE = "/services/{service}"
_UUID = {"type": "string", "format": "uuid"}
_SEQUENCE = "Counts the events of `ce-source` and `ce-partitionkey` without gaps; 20 digits."
_DESCRIPTION = (
    "Events of Parley as CloudEvents 1.0 in binary mode on the RabbitMQ topic exchange `parley.events`. "
    "Delivered at least once, in order within each partition key; see docs/events.md."
)

Json = dict[str, Any]


def event_types() -> Iterator[tuple[str, type[EventData]]]:
    """Yield the name and the model of each event type."""
    for model in CATALOGUE:
        for name in model.names:
            yield name, model


def samples() -> Json:
    """Return the data of an example event for each type."""
    found: Json = json.loads(files("parley_events").joinpath("samples.json").read_bytes())
    return found


def schema(name: str, model: type[EventData]) -> Json:
    """Return the JSON Schema of an event's data. It allows unknown members, since later releases may add some."""
    body = _with_enums(model.model_json_schema(mode="serialization"))
    return {"$schema": SCHEMA_DIALECT, "$id": _urn(name, model), **body, "title": f"{name} v{model.schema_version}"}


def document(version: str) -> Json:
    """Return the AsyncAPI document for a version of Parley."""
    types = list(event_types())
    keyed, definitions = models_json_schema(
        [(model, "serialization") for model in CATALOGUE], ref_template="#/components/schemas/{model}"
    )
    payloads = {model: reference for (model, _), reference in keyed.items()}
    examples = samples()
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {"title": "Parley events", "version": version, "description": _DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "channels": {name: _channel(name, model) for name, model in types},
        "operations": {f"send.{name}": _operation(name) for name, _ in types},
        "components": {
            "messages": {name: _message(name, model, payloads[model], examples[name]) for name, model in types},
            "schemas": _with_enums(definitions["$defs"]),
        },
    }


def _with_enums(node: Any) -> Any:
    """Describe members with one possible value as enumerations: code made from ``const`` by generators is invalid."""
    if isinstance(node, list):
        return [_with_enums(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "const" in node:
        node = {("enum" if name == "const" else name): value for name, value in node.items() if name != "default"}
        node["enum"] = [node["enum"]]
    return {name: _with_enums(value) for name, value in node.items()}


def _urn(name: str, model: type[EventData]) -> str:
    return f"urn:parley:schema:{name}:v{model.schema_version}"


def _description(model: type[EventData]) -> str:
    """Return the docstring without its indentation, which Python 3.13 removes itself."""
    return inspect.cleandoc(model.__doc__ or "")


def _channel(name: str, model: type[EventData]) -> Json:
    return {
        "address": name,
        "description": _description(model),
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"},
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operation(name: str) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": BINDING_VERSION}},
    }


def _message(name: str, model: type[EventData], payload: Json, example: Json) -> Json:
    return {
        "name": f"{TYPE_PREFIX}{name}.v{model.schema_version}",
        "title": name,
        "summary": _description(model),
        "contentType": CONTENT_TYPE,
        "headers": _headers(name, model),
        "payload": {"schemaFormat": "application/schema+json;version=draft-07", "schema": payload},
        "examples": [{"name": name, "payload": example}],
    }


def _headers(name: str, model: type[EventData]) -> Json:
    constants = {
        "ce-specversion": "1.0",
        "ce-type": f"{TYPE_PREFIX}{name}.v{model.schema_version}",
        "ce-source": model.source,
        "ce-dataschema": _urn(name, model),
    }
    properties: Json = {key: {"type": "string", "const": value} for key, value in constants.items() if value}
    properties |= {
        "ce-id": {**_UUID, "description": "Deduplicate by this ID."},
        "ce-subject": {**_UUID, "description": "The conversation or user."},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-partitionkey": {"type": "string", "description": "Events of one key are sent in order."},
        "ce-sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": _SEQUENCE},
        "ce-traceparent": {"type": "string"},
    }
    properties.setdefault("ce-source", {"type": "string", "examples": [_ANY_SERVICE]})
    return {"type": "object", "properties": properties, "required": sorted(properties.keys() - {"ce-traceparent"})}
