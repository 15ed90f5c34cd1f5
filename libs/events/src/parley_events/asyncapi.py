"""The events contract as documents: AsyncAPI 3.0, a JSON Schema for each type, and what would break a consumer.

Generated from ``parley_events.models``; the same models always give the same text.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

import orjson
from pydantic.json_schema import models_json_schema

from parley_events.cloudevents import PREFIX
from parley_events.models import CATALOGUE, EventData

ASYNCAPI = "3.0.0"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXCHANGE = "parley.events"
BINDING = "0.3.0"
_PLAIN_KEY = re.compile(r"^(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_][\w.-]*$", re.IGNORECASE)
_EVERY_SERVICE = "/services/{service}"
_UUID = {"type": "string", "format": "uuid"}
_SEQUENCE = "Counts the events of `ce-source` and `ce-partitionkey` without gaps; 20 digits."

Json = dict[str, Any]


def every_type() -> Iterator[tuple[str, type[EventData]]]:
    """Yield the name and the model of each event type."""
    for model in CATALOGUE:
        for name in model.names:
            yield name, model


def samples() -> Json:
    """Return the data of an example event for each type."""
    found: Json = orjson.loads(files("parley_events").joinpath("samples.json").read_bytes())
    return found


def schema(name: str, model: type[EventData]) -> Json:
    """Return the JSON Schema of an event's data. Members may be added, so it allows those it does not name."""
    body = model.model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": _urn(name, model), **body, "title": f"{name} v{model.schema_version}"}


def document(version: str) -> Json:
    """Return the AsyncAPI document of this version of Parley."""
    types = list(every_type())
    keyed, definitions = models_json_schema(
        [(model, "serialization") for model in CATALOGUE], ref_template="#/components/schemas/{model}"
    )
    payloads = {model: reference for (model, _), reference in keyed.items()}
    examples = samples()
    return {
        "asyncapi": ASYNCAPI,
        "info": {"title": "Parley events", "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, model) for name, model in types},
        "operations": {f"send.{name}": _operation(name) for name, _ in types},
        "components": {
            "messages": {name: _message(name, model, payloads[model], examples[name]) for name, model in types},
            "schemas": definitions["$defs"],
        },
    }


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Return what of a new schema breaks a consumer of the old one; each line begins with the member's path.

    Members and alternatives may be added where the old schema leaves room, and nothing may go or change its type.
    """
    return list(_breaks(_Side(old, old), _Side(new, new), ""))


def pages(version: str) -> Mapping[str, Callable[[], str]]:
    """Return the files under ``docs/``, by path, and what renders each."""
    found: dict[str, Callable[[], str]] = {"docs/asyncapi.yaml": lambda: to_yaml(document(version))}
    for name, model in every_type():
        found[f"docs/schemas/{name}.v{model.schema_version}.json"] = _rendered(name, model)
    return found


def to_yaml(value: Json) -> str:
    """Write an object as YAML: block style, scalars as in JSON, which YAML reads the same."""
    return "\n".join(_lines(value)) + "\n"


def _rendered(name: str, model: type[EventData]) -> Callable[[], str]:
    return lambda: orjson.dumps(schema(name, model), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _urn(name: str, model: type[EventData]) -> str:
    return f"urn:parley:schema:{name}:v{model.schema_version}"


def _channel(name: str, model: type[EventData]) -> Json:
    return {
        "address": name,
        "description": (model.__doc__ or "").strip(),
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"},
                "bindingVersion": BINDING,
            }
        },
    }


def _operation(name: str) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": BINDING}},
    }


def _message(name: str, model: type[EventData], payload: Json, example: Json) -> Json:
    return {
        "name": f"{PREFIX}{name}.v{model.schema_version}",
        "title": name,
        "summary": (model.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": _headers(name, model),
        "payload": {"schemaFormat": "application/schema+json;version=draft-07", "schema": payload},
        "examples": [{"name": name, "payload": example}],
    }


def _headers(name: str, model: type[EventData]) -> Json:
    constants = {
        "ce-specversion": "1.0",
        "ce-type": f"{PREFIX}{name}.v{model.schema_version}",
        "ce-source": model.source,
        "ce-dataschema": _urn(name, model),
    }
    properties: Json = {key: {"type": "string", "const": value} for key, value in constants.items() if value}
    properties |= {
        "ce-id": {**_UUID, "description": "Deduplicate by it."},
        "ce-subject": {**_UUID, "description": "The conversation or user."},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-partitionkey": {"type": "string", "description": "Events of one key are sent in order."},
        "ce-sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": _SEQUENCE},
        "ce-traceparent": {"type": "string"},
    }
    properties.setdefault("ce-source", {"type": "string", "examples": [_EVERY_SERVICE]})
    return {"type": "object", "properties": properties, "required": sorted(properties.keys() - {"ce-traceparent"})}


_DESCRIPTION = (
    "What happens in Parley, as CloudEvents 1.0 in binary mode on the RabbitMQ topic exchange `parley.events`. "
    "At least once, in order for each partition key; see docs/events.md."
)


class _Side:
    """A schema and the document that its references point into."""

    def __init__(self, part: Json, whole: Json) -> None:
        reference = part.get("$ref", "")
        self.part: Json = whole.get("$defs", {})[reference.rpartition("/")[2]] if reference else part
        self.whole = whole

    def inside(self, part: Json) -> "_Side":
        return _Side(part, self.whole)

    def alternatives(self) -> dict[str, "_Side"]:
        """Return what the value may be, by type."""
        sides = [self.inside(part) for part in self.part.get("anyOf", [self.part])]
        return {str(side.part.get("type", "any")): side for side in sides}


def _breaks(old: _Side, new: _Side, path: str) -> Iterator[str]:
    before, after = old.alternatives(), new.alternatives()
    added = after.keys() - before.keys()
    if added and "any" not in before:
        yield f"{path or '/'}: may now be {', '.join(sorted(added))}"
    for kind in sorted(before.keys() & after.keys()):
        yield from _same_type_breaks(before[kind], after[kind], path)


def _same_type_breaks(old: _Side, new: _Side, path: str) -> Iterator[str]:
    if "enum" in old.part or "const" in old.part:
        added = set(_values(new.part)) - set(_values(old.part))
        if added or not _values(new.part):
            yield f"{path or '/'}: new values {', '.join(sorted(map(str, added))) or 'without a list'}"
    if old.part.get("format") != new.part.get("format"):
        yield f"{path or '/'}: another format"
    required = set(new.part.get("required", ()))
    for name in old.part.get("required", ()):
        if name not in required:
            yield f"{path}/{name}: may now be missing"
    for name, part in old.part.get("properties", {}).items():
        found = new.part.get("properties", {}).get(name)
        if found is not None:
            yield from _breaks(old.inside(part), new.inside(found), f"{path}/{name}")
    for place in ("items", "additionalProperties"):
        part, found = old.part.get(place), new.part.get(place)
        if isinstance(part, dict) and isinstance(found, dict):
            yield from _breaks(old.inside(part), new.inside(found), f"{path}/*")


def _values(part: Json) -> list[Any]:
    return [part["const"]] if "const" in part else list(part.get("enum", ()))


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _entry(f"{indent}{_key(key)}:", entry, indent + "  ")
    else:
        for entry in value:
            yield from _entry(f"{indent}-", entry, indent + "  ")


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from _lines(value, indent)
    else:
        yield f"{head} {_scalar(value)}"


def _key(name: str) -> str:
    return name if _PLAIN_KEY.match(name) else _scalar(name)


def _scalar(value: Any) -> str:
    return orjson.dumps(value).decode()
