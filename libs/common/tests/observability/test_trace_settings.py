"""Trace settings: OpenTelemetry's names, and one line without the value for an invalid one."""

import pytest

from parley.config.settings import ServiceSettings, SettingsError, load, unknown_settings


def load_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ServiceSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(ServiceSettings)


def test_tracing_is_off_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_with(monkeypatch).traces_url() is None
    assert load_with(monkeypatch, OTEL_TRACES_SAMPLER="always_on").traces_url() is None


def test_an_endpoint_turns_tracing_on_for_a_tenth_of_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_with(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318/")
    assert found.traces_url() == "http://collector:4318/v1/traces"
    assert (found.otel_traces_sampler, found.otel_traces_sampler_arg) == ("parentbased_traceidratio", 0.1)


def test_tracing_can_be_disabled_despite_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_with(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318", OTEL_SDK_DISABLED="true")
    assert found.traces_url() is None


def test_headers_are_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_with(monkeypatch, OTEL_EXPORTER_OTLP_HEADERS="api-key=hunter2, x-scope = a%2Cb ")
    assert found.collector_headers() == {"api-key": "hunter2", "x-scope": "a,b"}
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ada:hunter2@collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector/?key=hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%0D%0Ab"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ("OTEL_TRACES_SAMPLER", "hunter2"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_without_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as error:
        load_with(monkeypatch, **{name: value})
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert "hunter2" not in line


def test_variables_with_precedence_in_opentelemetry_are_rejected() -> None:
    (line,) = unknown_settings(ServiceSettings, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"})
    assert line == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: unknown setting; did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"


def test_variables_of_other_opentelemetry_signals_are_ignored() -> None:
    others = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_METRICS_EXPORTER")
    assert unknown_settings(ServiceSettings, dict.fromkeys(others, "x")) == []
