"""Optional components of an overlay: they render with the base, alone and together, and fit its objects."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.routes import all_routes
from parley_testing.deployment.manifests import Combine, Object, Validate, of_kind, one

COMPONENTS = ("monitoring", "hpa", "ingress", "gateway-api", "backup")
"""Components that change the base, each alone. The others are tested together."""
OTHERS = (
    "cert-manager",
    "datastores-dev",
    "datastores-operators",
    "external-secrets",
    "fake-model",
    "images-digest",
    "keda",
    "otel",
    "priority",
    "smoke-test",
)
CUSTOM = {
    "PodMonitor", "PrometheusRule", "HTTPRoute", "Certificate", "Cluster", "Database", "ExternalSecret",
    "RabbitmqCluster", "ScaledObject", "TriggerAuthentication",
}  # fmt: skip
"""Kinds without a schema in the API: custom resources of the cluster."""
SCALED = {"gateway", "auth", "chat", "history", "history-worker", "webhooks"}
NGINX = "nginx.ingress.kubernetes.io/"
COMBINATIONS = [
    *((each,) for each in COMPONENTS),
    ("monitoring", "hpa", "ingress", "backup"),
    ("gateway-api", "hpa", "monitoring"),
    WITH_OPERATORS := ("cert-manager", "datastores-operators", "external-secrets", "ingress", "keda", "otel"),
]


def settings(objects: list[Object], name: str) -> dict[str, str]:
    """Return the data of a workload's config map."""
    (found,) = [each["data"] for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"].startswith(name)]
    return dict(found)


@pytest.fixture(scope="module")
def everything(combine: Combine) -> list[Object]:
    return combine(("monitoring", "hpa", "ingress"))


def test_every_component_is_tested_and_in_the_readme(root: Path) -> None:
    readme = (root / "deploy/k8s/README.md").read_text()

    assert {each.name for each in (root / "deploy/k8s/components").iterdir()} == {*COMPONENTS, *OTHERS}
    assert [name for name in (*COMPONENTS, *OTHERS) if f"components/{name}" not in readme] == []


@pytest.mark.parametrize("components", COMBINATIONS, ids="+".join)
def test_components_render_with_the_base_alone_and_together(
    components: tuple[str, ...], combine: Combine, base: list[Object], validate: Validate
) -> None:
    objects = combine(components)
    built_in = [each for each in objects if each["kind"] not in CUSTOM]

    assert len(objects) > len(base)
    assert {each["metadata"].get("namespace") for each in objects} == {"parley", None}
    validate(built_in)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_changes_only_its_part_of_the_base(component: str, combine: Combine, base: list[Object]) -> None:
    after = {(each["kind"], each["metadata"]["name"]): each for each in combine((component,))}
    changed = {each["kind"] for each in base if after.get((each["kind"], each["metadata"]["name"])) != each}

    # The name of a changed config map changes, and with it the deployment that uses it.
    settles = {"ConfigMap", "Deployment"}
    assert changed == {"hpa": {"Deployment"}, "ingress": settles, "gateway-api": settles}.get(component, set())


def test_prometheus_reads_the_admin_port_of_every_pod(everything: list[Object]) -> None:
    (monitor,) = of_kind(everything, "PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

    for each in of_kind(everything, "Deployment"):
        template = each["spec"]["template"]
        (container,) = template["spec"]["containers"]
        assert wanted <= template["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in container["ports"]}


def test_prometheus_may_reach_every_admin_port(everything: list[Object]) -> None:
    for each in of_kind(everything, "Deployment"):
        policy = one(everything, "NetworkPolicy", each["metadata"]["name"])
        peers = {"namespaceSelector": {"matchLabels": {"parley/monitoring": "true"}}}
        assert {"from": [peers], "ports": [{"port": "admin"}]} in policy["spec"]["ingress"]


def test_grafana_finds_the_dashboards_by_label_and_under_one_name(everything: list[Object]) -> None:
    found = one(everything, "ConfigMap", "parley-dashboards")

    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert len(found["data"]) == 4


def test_only_the_autoscaler_sets_the_number_of_replicas(everything: list[Object]) -> None:
    targets = [each["spec"]["scaleTargetRef"]["name"] for each in of_kind(everything, "HorizontalPodAutoscaler")]

    assert sorted(targets) == sorted(SCALED)
    assert [each for each in of_kind(everything, "Deployment") if "replicas" in each["spec"]] == []


def test_with_keda_chat_scales_by_turns_the_gateway_by_streams_and_the_worker_by_its_queue(combine: Combine) -> None:
    objects = combine(WITH_OPERATORS)
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in of_kind(objects, "ScaledObject")}
    triggers = {name: repr(spec["triggers"]) for name, spec in scaled.items()}

    assert scaled.keys() == SCALED
    assert "sum(chat_turns_running{" in triggers["chat"]
    assert "sum(gateway_streams{" in triggers["gateway"]
    assert "history.turns" in triggers["history-worker"]
    assert [each for each in of_kind(objects, "Deployment") if "replicas" in each["spec"]] == []
    for name, spec in scaled.items():
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        fallback = any(trigger["type"] != "cpu" for trigger in spec["triggers"])
        assert (spec["minReplicaCount"], down["stabilizationWindowSeconds"] >= 300) == (2, True)
        assert ("fallback" in spec) == fallback, name


def test_external_secrets_fill_the_secrets_that_the_pods_mount(combine: Combine) -> None:
    objects = combine(WITH_OPERATORS)
    volumes = [v for d in of_kind(objects, "Deployment") for v in d["spec"]["template"]["spec"]["volumes"]]

    assert {each["spec"]["target"]["name"] for each in of_kind(objects, "ExternalSecret")} == {
        volume["secret"]["secretName"] for volume in volumes if "secret" in volume
    }


def test_scaling_down_is_slow_and_waits_for_drained_streams(everything: list[Object]) -> None:
    for each in of_kind(everything, "HorizontalPodAutoscaler"):
        down = each["spec"]["behavior"]["scaleDown"]
        deployment = one(everything, "Deployment", each["metadata"]["name"])
        assert each["spec"]["minReplicas"] >= 2
        assert down["stabilizationWindowSeconds"] >= 300
        if deployment["metadata"]["name"] in {"gateway", "chat"}:
            grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert [(policy["value"], policy["periodSeconds"] >= grace) for policy in down["policies"]] == [(1, True)]


def test_deployments_scaled_by_cpu_request_cpu(everything: list[Object]) -> None:
    for name in SCALED:
        (container,) = one(everything, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["requests"]["cpu"]


def test_the_ingress_leads_to_the_gateway_over_tls(everything: list[Object]) -> None:
    spec = one(everything, "Ingress", "parley")["spec"]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    service = one(everything, "Service", path["backend"]["service"]["name"])

    assert service["metadata"]["name"] == "gateway"
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert spec["tls"] == [{"hosts": [rule["host"]], "secretName": "parley-tls"}]


def test_the_ingress_equals_the_nginx_configuration(everything: list[Object], root: Path) -> None:
    text = (root / "deploy/nginx/parley.conf").read_text()
    found = one(everything, "Ingress", "parley")["metadata"]["annotations"]

    def directive(name: str) -> str:
        (value,) = re.findall(rf"^\s*{name}\s+(.+);", text, re.MULTILINE)
        return str(value)

    same = ("proxy-buffering", "proxy-request-buffering", "proxy-next-upstream", "proxy-next-upstream-tries")
    seconds = ("proxy-connect-timeout", "proxy-read-timeout", "proxy-send-timeout")
    expected = {name: directive(name.replace("-", "_")) for name in (*same, *seconds)}
    expected |= {name: expected[name].removesuffix("s") for name in seconds}
    expected |= {"proxy-body-size": directive("client_max_body_size"), "force-ssl-redirect": "true"}
    assert {name.removeprefix(NGINX): value for name, value in found.items()} == expected


def test_nginx_accepts_the_largest_body_that_a_route_of_the_gateway_accepts(root: Path) -> None:
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", (root / "deploy/nginx/parley.conf").read_text())
    assert int(mebibytes) * 1024 * 1024 == max(each.max_body for each in all_routes())


def test_the_route_leads_to_the_gateway_without_a_timeout(combine: Combine) -> None:
    objects = combine(("gateway-api",))
    (rule,) = one(objects, "HTTPRoute", "parley")["spec"]["rules"]
    (backend,) = rule["backendRefs"]
    ports = one(objects, "Service", backend["name"])["spec"]["ports"]

    assert backend["port"] in {port["port"] for port in ports}
    assert set(rule["timeouts"].values()) == {"0s"}


@pytest.mark.parametrize("component", ["ingress", "gateway-api"])
def test_gateway_and_auth_trust_the_proxies_before_them(component: str, combine: Combine) -> None:
    objects = combine((component,))

    assert settings(objects, "gateway")["TRUSTED_PROXIES"] == settings(objects, "auth")["TRUSTED_PROXIES"]


def test_the_patches_in_the_readme_apply(root: Path, combine: Combine) -> None:
    text = (root / "deploy/k8s/README.md").read_text()
    blocks = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    objects = combine(COMPONENTS, patches=[patch for each in blocks for patch in each.get("patches", [])])
    ingress, route = one(objects, "Ingress", "parley")["spec"], one(objects, "HTTPRoute", "parley")["spec"]

    assert [ingress["rules"][0]["host"]] == ingress["tls"][0]["hosts"] == ["chat.example.com"]
    assert route["hostnames"] == ["chat.example.com"]
    assert {name: route["parentRefs"][0][name] for name in ("name", "namespace")} == {
        "name": "mine",
        "namespace": "of-the-gateway",
    }
    for each in [*of_kind(objects, "PodMonitor"), *of_kind(objects, "PrometheusRule")]:
        assert each["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_programs_of_postgres_name_their_user_because_the_user_of_the_pod_has_no_name(combine: Combine) -> None:
    found = [
        line
        for each in combine(("datastores-dev",))
        if each["kind"] in {"Job", "StatefulSet"}
        for container in each["spec"]["template"]["spec"]["containers"]
        for line in "\n".join(container.get("args", [])).splitlines()
        if re.search(r"\b(psql|pg_isready)\b", line) and not line.lstrip().startswith("#")
    ]

    assert len(found) == 2
    assert [line for line in found if "--username=" not in line] == []
