"""Where spans go, and how many: OpenTelemetry's own names, read as our settings are: a wrong value ends the start."""

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
    """Read ``name=value,name=value`` with percent-encoded values; raises ValueError, without the text."""
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
        raise ValueError("must hold no password: use OTEL_EXPORTER_OTLP_HEADERS")
    if parts.query or parts.fragment:
        raise ValueError("must be a base URL: /v1/traces is added to it")
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
    """What every service can be told of traces; without an endpoint there are none."""

    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        None, description="Base URL of an OpenTelemetry collector (OTLP over HTTP); without it nothing is traced."
    )
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        "http/protobuf", description="The one protocol that traces are sent with."
    )
    otel_exporter_otlp_headers: Annotated[SecretStr, AfterValidator(_secret_pairs)] | None = Field(
        None, description="Headers for the collector, `name=value` with commas between; values percent-encoded."
    )
    otel_exporter_otlp_certificate: Annotated[Path, AfterValidator(_readable)] | None = Field(
        None, description="File with the CA certificates that vouch for the collector."
    )
    otel_resource_attributes: Annotated[str, AfterValidator(_pairs)] = Field(
        "", description="Attributes of every span's service, as `deployment.environment.name=staging`; never its name."
    )
    otel_traces_sampler: Sampler = Field(
        "parentbased_traceidratio",
        description="Which requests are traced; `parentbased_` follows a caller's `traceparent` first.",
    )
    otel_traces_sampler_arg: float = Field(
        0.1, ge=0, le=1, description="The share of requests that the `traceidratio` samplers trace."
    )
    otel_sdk_disabled: bool = Field(False, description="Turns traces off, whatever the endpoint.")

    def traces_url(self) -> str | None:
        """Return where spans are posted to, None when nothing is traced."""
        if self.otel_sdk_disabled or self.otel_exporter_otlp_endpoint is None:
            return None
        return f"{self.otel_exporter_otlp_endpoint}/v1/traces"

    def collector_headers(self) -> Mapping[str, str]:
        """Return the headers that the collector asks for."""
        given = self.otel_exporter_otlp_headers
        return parse_pairs(given.get_secret_value()) if given else {}
