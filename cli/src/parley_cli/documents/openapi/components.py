"""Reusable components of the document: headers, header parameters, error responses and examples."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from parley.web.openapi import header
from parley.web.problems import ErrorFormat
from parley_cli.documents.openapi.errors import HEADERS, PHRASES

PREFIXES: dict[ErrorFormat, str] = {"problem": "", "openai": "OpenAi", "anthropic": "Anthropic"}
"""Beginnings of the names of error responses, by format."""
COMMON_HEADERS = {
    "X-Request-ID": header("ID of the request, as in the logs.", "01a200a6-d8e8-77ac-b25c-1d805c924a2b"),
    "X-Process-Time": header("Seconds that the request took.", "0.0123"),
    "RateLimit-Policy": header("The limit on requests: `q` requests in `w` seconds.", '"user";q=600;w=60'),
    "RateLimit": header("Requests that remain, and seconds until all do again.", '"user";r=599;t=1'),
    "x-ratelimit-limit-requests": header("The limit on requests, as OpenAI sends it.", "600"),
    "x-ratelimit-remaining-requests": header("Requests that remain.", "599"),
    "x-ratelimit-reset-requests": header("Time until all requests remain again.", "1s"),
}
ERROR_HEADERS = {
    "Retry-After": header("Seconds to wait before the next attempt.", "8"),
    "WWW-Authenticate": header("What is wrong with the credentials (RFC 6750).", 'Bearer error="invalid_token"'),
    "Accept-Post": header("The accepted media type.", "application/json"),
    "Content-Range": header("The length of the file.", "bytes */48211"),
    "x-should-retry": header("`false` if the same request fails again.", "false"),
}


Codes = tuple[str, tuple[str, ...], ErrorFormat]
"""Status, codes and format of an error response."""


class Components:
    """Collects the components to which operations refer."""

    def __init__(self) -> None:
        self.headers: dict[str, Any] = {**COMMON_HEADERS, **ERROR_HEADERS}
        self.parameters: dict[str, Any] = {}
        self.responses: dict[str, Any] = {}
        self._examples = json.loads(files(__package__).joinpath("examples.json").read_text(encoding="utf-8"))

    def headers_of(self, response: dict[str, Any]) -> dict[str, Any]:
        """Return the headers of a response, its own and those of every response, as references where possible."""
        own = {name: self._reference("headers", name, value) for name, value in response.get("headers", {}).items()}
        return {**{name: _reference("headers", name) for name in COMMON_HEADERS}, **own}

    def parameter(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return a parameter with an example; a header as a reference."""
        if given["in"] == "header":
            return self._reference("parameters", given["name"], _header_parameter(given))
        example = self._examples["parameters"].get(given["name"])
        return given if example is None else {**given, "example": example}

    def error_response(self, name: str, status: str, response: dict[str, Any]) -> dict[str, Any]:
        """Return the reference to an error response."""
        headers = {name: _reference("headers", name) for name in (*COMMON_HEADERS, *HEADERS.get(status, ()))}
        self.responses[name] = {**response, "headers": headers}
        return _reference("responses", name)

    def add_examples(self, schemas: dict[str, Any]) -> None:
        """Add the examples of the bodies to their schemas. Those of pages are made of the example of an entry."""
        for name, schema in schemas.items():
            example = self._examples["schemas"].get(name)
            if name.startswith("Page_"):
                entry = schema["properties"]["data"]["items"]["$ref"].rpartition("/")[2]
                example = {"data": [self._examples["schemas"][entry]], "next_cursor": None}
            if example is not None:
                schema["examples"] = [example]

    def document(self) -> dict[str, Any]:
        """Return the collected components."""
        return {
            "headers": dict(sorted(self.headers.items())),
            "parameters": dict(sorted(self.parameters.items())),
            "responses": dict(sorted(self.responses.items())),
        }

    def _reference(self, kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Return a reference to the component with this value; the value if another one has the name."""
        known: dict[str, Any] = getattr(self, kind)
        return _reference(kind, name) if known.setdefault(name, value) == value else value


def response_names(used: set[Codes]) -> dict[Codes, str]:
    """Return a name for each set of codes: the phrase of the status, and the codes that not all of its sets have."""
    found = {}
    for status, codes, shape in used:
        common = set.intersection(*(set(each[1]) for each in used if each[0] == status))
        phrase = PHRASES[status].replace(" ", "")
        special = "".join(code.title().replace("_", "") for code in codes if code not in common)
        found[status, codes, shape] = f"{PREFIXES[shape]}{phrase}{special and '-'}{special}"
    return found


def references(value: Any) -> Iterator[str]:
    """Yield the references in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def _header_parameter(given: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter without what pydantic adds to it: a title, and null, which a header cannot be."""
    example = given.get("example", (given["schema"].get("examples") or [None])[0])
    plain = {
        "name": given["name"],
        "in": "header",
        "required": given.get("required", False),
        "description": given.get("description", ""),
        "schema": {"type": "string", **({"enum": given["schema"]["enum"]} if "enum" in given["schema"] else {})},
    }
    return plain if example is None else {**plain, "example": example}


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
