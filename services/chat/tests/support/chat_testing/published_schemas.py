"""Schemas that others publish for the vendors' protocols, as the package ``llm-comply`` has them.

``openresponses.json`` is the document of Open Responses, version 2026-04-24.
"""

import functools
from pathlib import Path
from typing import Any, Literal

import llm_comply
from jsonschema import Draft202012Validator
from llm_comply.schema import SpecLoader
from referencing import Registry
from referencing.jsonschema import DRAFT202012

Document = Literal["openresponses.json", "anthropic.json", "openai_chat.json"]
_FOLDER = Path(llm_comply.__file__).with_name("specs")
_EVENT = "StreamingEvent"
_RESOURCES = {"response": "ResponseResource", "response.compaction": "CompactResource"}


def check(document: Document, schema: str, found: Any) -> None:
    """Raise jsonschema's ValidationError unless something fits a schema."""
    _validator(document, schema).validate(found)


def check_body(body: Any) -> None:
    """Check the body of a response of the Responses API: an error, a resource, an item, or a list of items."""
    if "object" not in body:
        name, found = ("ItemField", body) if "type" in body else ("ErrorPayload", body["error"])
        check("openresponses.json", name, found)
    elif body["object"] in _RESOURCES and "deleted" not in body:
        check("openresponses.json", _RESOURCES[body["object"]], body)
    for item in body.get("data", ()):
        check("openresponses.json", "ItemField", item)


def check_event(frame: Any) -> None:
    """Check an event of a stream of the Responses API."""
    check("openresponses.json", _event_schemas()[frame["type"]], frame)


def check_socket_frame(frame: Any) -> None:
    """Check a frame of the Responses API over a WebSocket: an event, or an error, which has a status there."""
    if frame["type"] == "error":
        check("openresponses.json", "WebSocketErrorEvent", frame)
    else:
        check_event(frame)


@functools.cache
def _event_schemas() -> dict[str, str]:
    _, schemas = _document("openresponses.json")
    return {schema["properties"]["type"]["enum"][0]: name for name, schema in schemas.items() if name.endswith(_EVENT)}


@functools.cache
def _document(name: Document) -> tuple[Registry[Any], dict[str, Any]]:
    loader = SpecLoader(str(_FOLDER / name))
    schemas = {each: loader.get_schema(each) for each in loader.schema_names}
    if name == "openresponses.json":  # it says null, against its own source; OpenAI's SDKs need the schema
        answer_format = schemas["JsonSchemaResponseFormat"]
        assert answer_format is not None
        answer_format["properties"]["schema"] = {"type": ["object", "null"]}
    found: Registry[Any] = Registry()
    resource = DRAFT202012.create_resource({"components": {"schemas": schemas}})
    return found.with_resource("urn:document", resource), schemas


@functools.cache
def _validator(document: Document, schema: str) -> Draft202012Validator:
    registry, _ = _document(document)
    return Draft202012Validator({"$ref": f"urn:document#/components/schemas/{schema}"}, registry=registry)
