"""Compose file: valid, complete, and closed to the outside except for the gateway."""

import copy
import subprocess
import sys
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml

from parley.config.settings import ServiceSettings, environment_names
from parley_testing.deployment.manifests import Object

OURS = {"gateway", "auth", "chat", "history", "history-worker", "webhooks", "fake-provider"}
EDGE = {"gateway-2", "proxy"}
EXTRAS = {"local-model", "prometheus", "grafana", "otel-collector"}
"""Containers of other profiles, which no other container waits for."""
STORES = {"postgres", "redis", "rabbitmq"}
POOLS_OF_THE_ENGINE = (ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16"))
OUTSIDE = {"gateway", "gateway-2", "proxy", "chat", "webhooks", "prometheus", "grafana", "otel-collector"}


def published(compose: Object) -> dict[str, list[str]]:
    return {name: each["ports"] for name, each in compose["services"].items() if each.get("ports")}


def unhardened(compose: Object) -> list[str]:
    """Return the services with more privileges than they need."""
    return [
        name
        for name, each in compose["services"].items()
        if not (
            each.get("read_only") is True
            and each.get("cap_drop") == ["ALL"]
            and not each.get("cap_add")
            and not each.get("privileged")
            and each.get("security_opt") == ["no-new-privileges:true"]
            and any(mount.startswith("/tmp:size=") for mount in each.get("tmpfs", []))
            and each.get("mem_limit")
            and each.get("pids_limit")
        )
    ]


def floating_images(compose: Object) -> list[str]:
    images = [each["image"] for each in compose["services"].values()]
    return [image for image in images if ":" not in image or image.endswith(":latest")]


def test_the_compose_file_is_valid(root: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_key_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("services: {a: {image: b, read_onli: true}}")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "broken.yml"]

    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode != 0


def test_only_the_gateway_its_proxy_and_the_dashboards_are_published_and_only_to_this_machine(compose: Object) -> None:
    assert published(compose) == {
        "gateway": ["127.0.0.1:${PARLEY_PORT:-8000}:8000"],
        "proxy": ["${EDGE_ADDRESS:-127.0.0.1}:${EDGE_PORT:-8443}:8443"],
        "prometheus": ["127.0.0.1:${PROMETHEUS_PORT:-9090}:9090"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }


def test_only_what_is_published_or_calls_others_is_in_a_network_with_a_way_out(compose: Object) -> None:
    networks = compose["networks"]
    open_networks = {name for name, each in networks.items() if not each.get("internal")}

    assert {name for name, each in compose["services"].items() if open_networks & set(each["networks"])} == OUTSIDE


def test_every_container_is_hardened(compose: Object) -> None:
    assert unhardened(compose) == []


@pytest.mark.parametrize(
    "spoilt",
    [{"read_only": False}, {"cap_add": ["NET_ADMIN"]}, {"privileged": True}, {"tmpfs": ["/tmp"]}, {"mem_limit": 0}],
)
def test_a_container_that_is_not_hardened_is_found(spoilt: Object, compose: Object) -> None:
    broken = copy.deepcopy(compose)
    broken["services"]["auth"] |= spoilt

    assert unhardened(broken) == ["auth"]


def test_every_image_is_named_exactly(compose: Object) -> None:
    assert floating_images(compose) == []
    assert floating_images({"services": {"a": {"image": "redis"}, "b": {"image": "redis:latest"}}}) == [
        "redis",
        "redis:latest",
    ]


def test_every_server_has_a_health_check_and_waits_for_what_it_needs(compose: Object) -> None:
    services = compose["services"]
    checked = {name for name, each in services.items() if each.get("healthcheck")}
    waits = {name: set(each.get("depends_on", {})) for name, each in services.items()}

    assert checked == OURS | EDGE | STORES | EXTRAS
    assert all({"postgres-init", "redis", "rabbitmq"} <= waits[name] for name in OURS - {"gateway", "fake-provider"})
    assert waits["gateway"] == waits["gateway-2"] == {"redis", "auth", "chat", "history", "webhooks"}
    for each in services.values():
        for name, condition in each.get("depends_on", {}).items():
            ends = name == "postgres-init"
            assert condition == {"condition": "service_completed_successfully" if ends else "service_healthy"}


def test_every_secret_is_used_and_made(compose: Object, root: Path, secrets: Path) -> None:
    used = {
        each if isinstance(each, str) else each["source"]
        for service in compose["services"].values()
        for each in service.get("secrets", [])
    }
    files = {name: Path(each["file"]).name for name, each in compose["secrets"].items()}

    assert used == files.keys()
    assert all((secrets / file).is_file() for file in files.values())
    assert {str(Path(each["file"]).parent) for each in compose["secrets"].values()} == {"deploy/docker/secrets"}


def test_each_image_is_built_for_a_command_that_exists(compose: Object, root: Path) -> None:
    for name in OURS - {"history-worker"}:
        arguments = compose["services"][name]["build"]["args"]
        member = arguments.get("MEMBER", f"services/{arguments['SERVICE']}")
        project = tomllib.loads((root / member / "pyproject.toml").read_text())["project"]

        assert f"parley-{arguments['SERVICE']}" in project["scripts"]
        assert (root / "requirements" / f"{arguments['SERVICE']}.txt").is_file()


def test_the_worker_uses_the_image_of_history_with_its_own_command(compose: Object, root: Path) -> None:
    worker, history = compose["services"]["history-worker"], compose["services"]["history"]
    project = tomllib.loads((root / "services/history/pyproject.toml").read_text())["project"]
    (command,) = worker["entrypoint"]

    assert worker["image"] == history["image"]
    assert Path(command).name in project["scripts"]


def test_a_container_shares_a_network_with_what_it_needs_only(compose: Object) -> None:
    networks = {name: set(each["networks"]) for name, each in compose["services"].items()}
    reached = {name: {store for store in STORES if networks[store] & found} for name, found in networks.items()}

    assert reached["gateway"] == reached["gateway-2"] == reached["fake-provider"] == {"redis"}
    assert reached["proxy"] == set()
    assert reached["operator"] == {"rabbitmq"}
    assert all(reached[name] == STORES for name in ("auth", "chat", "history", "history-worker", "webhooks"))
    assert networks["rabbitmq"] == {"broker", "subscribers"}


def test_fixed_addresses_are_not_those_that_the_engine_gives_to_other_networks(compose: Object) -> None:
    subnets = [each["ipam"]["config"][0]["subnet"] for each in compose["networks"].values() if "ipam" in each]
    fixed = [ip_network(subnet.partition(":-")[2].rstrip("}")) for subnet in subnets]

    assert len(fixed) == len({"inside", "edge"})
    assert not any(one.overlaps(pool) for one in fixed for pool in POOLS_OF_THE_ENGINE)


def test_an_operator_can_set_every_setting_without_editing_the_file(
    compose: Object, settings_of: dict[str, type[ServiceSettings]]
) -> None:
    # The images lack the package of Sentry, their files are read-only, and the headers of OTLP are a secret.
    # history's AUTH_URL is the server of JWKS_URL.
    fixed = {"ENVIRONMENT", "GIT_SHA", "LOG_FILE", "OTEL_EXPORTER_OTLP_HEADERS", "SENTRY_DSN"}
    for name, kind in settings_of.items():
        service = compose["services"][name]
        secrets = {each if isinstance(each, str) else each["target"] for each in service["secrets"]}
        given = {*service["environment"], *(secret.upper() for secret in secrets)}
        needless = {"PORT", "RUN_CONSUMER", "DRAIN_DELAY"} if name == "history-worker" else set()
        needless |= {"AUTH_URL"} if name.startswith("history") else set()
        assert set(environment_names(kind).values()) - given - fixed - needless == set()


def test_the_metrics_of_every_service_are_scraped_at_its_admin_port(compose: Object, root: Path) -> None:
    jobs = yaml.safe_load((root / "deploy/docker/observability/prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        name: str(found["port"]) for job in jobs for found in job["dns_sd_configs"] for name in found["names"]
    }  # fmt: skip
    ports = {
        name: each["environment"]["ADMIN_PORT"]
        for name, each in compose["services"].items()
        if "ADMIN_PORT" in each.get("environment", {})
    }

    assert scraped == ports
    assert all("monitoring" in compose["services"][name]["networks"] for name in ("prometheus", *scraped))


def test_redis_persists_writes_and_never_evicts(compose: Object) -> None:
    command = compose["services"]["redis"]["command"]

    assert "--appendonly yes" in command
    assert "--appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command
