"""Trace settings, with OpenTelemetry's names; an invalid value stops the service from starting."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

Sampler: TypeAlias = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~/-]+\Z")
_VALUE = re.compile(r"[\x20-\x7e]*\Z")


def parse_pairs(text: str) -> dict[str, str]:
    """Parse ``name=value,name=value`` with percent-encoded values; raise ValueError without the text."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    found = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    if not all(equals for _, equals, _ in pairs) or not all(map(_NAME.match, found)):
        raise ValueError("must be name=value pairs, separated by commas")
    if not all(map(_VALUE.match, found.values())):
        raise ValueError("values must be visible ASCII characters")
    return found


def _endpoint(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be the http:// or https:// URL of a collector")
    if parts.username or parts.password:
        raise ValueError("must not contain a password; use OTEL_EXPORTER_OTLP_HEADERS")
    if parts.query or parts.fragment:
        raise ValueError("must be a base URL without query; /v1/traces is appended")
    return text.rstrip("/")


def _pairs(text: str) -> str:
    parse_pairs(text)
    return text


def _secret_pairs(secret: SecretStr) -> SecretStr:
    parse_pairs(secret.get_secret_value())
    return secret


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("is not a file")
    return path


class TraceSettings(BaseSettings):
    """Trace settings of a service; tracing is off without an endpoint."""

    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        None, description="Base URL of an OpenTelemetry collector (OTLP over HTTP). Tracing is off when unset."
    )
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        "http/protobuf", description="Protocol for sending traces; only `http/protobuf` is supported."
    )
    otel_exporter_otlp_headers: Annotated[SecretStr, AfterValidator(_secret_pairs)] | None = Field(
        None, description="Headers for the collector: comma-separated `name=value` pairs with percent-encoded values."
    )
    otel_exporter_otlp_certificate: Annotated[Path, AfterValidator(_readable)] | None = Field(
        None, description="File with the CA certificates that verify the collector."
    )
    otel_resource_attributes: Annotated[str, AfterValidator(_pairs)] = Field(
        "",
        description="Resource attributes of all spans, such as `deployment.environment.name=staging`.",
    )
    otel_traces_sampler: Sampler = Field(
        "parentbased_traceidratio",
        description="Sampler of requests; the `parentbased_` samplers follow the caller's `traceparent`.",
    )
    otel_traces_sampler_arg: float = Field(
        0.1, ge=0, le=1, description="Share of requests that the `traceidratio` samplers trace, from 0 to 1."
    )
    otel_sdk_disabled: bool = Field(False, description="Turns tracing off, even if an endpoint is set.")

    def traces_url(self) -> str | None:
        """Return the URL that spans are posted to, or None when tracing is off."""
        if self.otel_sdk_disabled or self.otel_exporter_otlp_endpoint is None:
            return None
        return f"{self.otel_exporter_otlp_endpoint}/v1/traces"

    def collector_headers(self) -> Mapping[str, str]:
        """Return the headers of requests to the collector."""
        given = self.otel_exporter_otlp_headers
        return parse_pairs(given.get_secret_value()) if given else {}
