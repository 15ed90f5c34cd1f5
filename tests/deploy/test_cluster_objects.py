"""Manifests as a whole: valid for the API, with resolved references and a NetworkPolicy for every pod."""

import copy
from urllib.parse import urlsplit

import pytest
from jsonschema import ValidationError

from parley_testing.deployment.manifests import Object, Render, Validate, names, of_kind, one
from parley_testing.deployment.references import (
    dangling_references,
    dangling_selectors,
    peers,
    pods,
    pods_without_policy,
    selects,
)

NAMESPACED_BY_CLUSTER = {"Namespace"}
INTERNET = {"0.0.0.0/0", "::/0"}


def denies_by_default(objects: list[Object]) -> bool:
    empty = [each["spec"] for each in of_kind(objects, "NetworkPolicy") if each["metadata"]["name"] == "default-deny"]
    return empty == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


def reaches_the_internet(policy: Object) -> bool:
    return any(peer.get("ipBlock", {}).get("cidr") in INTERNET for peer in peers(policy))


def edges(objects: list[Object]) -> set[tuple[str, str]]:
    """Return the pairs of caller and callee that egress and ingress both allow."""
    own = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    labels = pods(objects)

    def allowed(rules: list[Object], side: str, other: str) -> bool:
        found = [peer["podSelector"] for rule in rules for peer in rule.get(side, []) if set(peer) == {"podSelector"}]
        return any(selects(each, labels[other]) for each in found)

    return {
        (caller, called)
        for caller in labels
        for called in labels
        if allowed(own[caller]["egress"], "to", called) and allowed(own[called]["ingress"], "from", caller)
    }


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_every_object_is_valid_for_the_oldest_and_the_newest_api(
    folder: str, render: Render, validate: Validate
) -> None:
    validate(render(folder))


def test_an_unknown_field_is_refused(base: list[Object], validate: Validate) -> None:
    broken = copy.deepcopy(of_kind(base, "Deployment")[0])
    broken["spec"]["template"]["spec"]["restartpolicy"] = "Always"

    with pytest.raises(ValidationError):
        validate([broken])


def test_the_base_has_only_built_in_kinds_and_no_secret(base: list[Object]) -> None:
    kinds = {each["kind"] for each in base}

    assert kinds == {
        "Namespace", "ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy",
    }  # fmt: skip


def test_everything_is_in_the_restricted_namespace(base: list[Object]) -> None:
    (namespace,) = of_kind(base, "Namespace")
    labels = namespace["metadata"]["labels"]

    assert all(labels[f"pod-security.kubernetes.io/{mode}"] == "restricted" for mode in ("enforce", "audit", "warn"))
    assert {each["metadata"].get("namespace") for each in base if each["kind"] not in NAMESPACED_BY_CLUSTER} == {
        namespace["metadata"]["name"]
    }


def test_no_selector_and_no_reference_dangles(base: list[Object]) -> None:
    assert dangling_selectors(base) == []
    assert dangling_references(base) == []


def test_a_dangling_selector_and_a_dangling_reference_are_found(base: list[Object]) -> None:
    broken = [each for each in copy.deepcopy(base) if each["kind"] != "ServiceAccount"]
    of_kind(broken, "Service")[0]["spec"]["selector"] = {"app.kubernetes.io/name": "nobody"}

    assert dangling_selectors(broken) == ["Service/auth"]
    assert "gateway" in dangling_references(broken)


def test_service_accounts_mount_no_token(base: list[Object]) -> None:
    assert all(each["automountServiceAccountToken"] is False for each in of_kind(base, "ServiceAccount"))


def test_every_deployment_has_a_disruption_budget_that_evicts_unhealthy_pods(base: list[Object]) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(base, "PodDisruptionBudget")}

    assert budgets.keys() == pods(base).keys()
    assert {(each["maxUnavailable"], each["unhealthyPodEvictionPolicy"]) for each in budgets.values()} == {
        (1, "AlwaysAllow")
    }


def test_every_pod_has_a_network_policy_of_its_own(base: list[Object]) -> None:
    assert denies_by_default(base)
    assert pods_without_policy(base) == []


def test_a_pod_without_a_network_policy_is_found(base: list[Object]) -> None:
    broken = [each for each in base if (each["kind"], each["metadata"]["name"]) != ("NetworkPolicy", "chat")]

    assert pods_without_policy(broken) == ["chat"]
    assert not denies_by_default([each for each in base if each["metadata"]["name"] != "default-deny"])


def test_only_the_intended_calls_between_services_are_allowed(base: list[Object]) -> None:
    assert edges(base) == {
        ("gateway", "auth"),
        ("gateway", "chat"),
        ("gateway", "history"),
        ("gateway", "webhooks"),
        ("chat", "auth"),
        ("chat", "history"),
        ("auth", "auth"),
        ("history", "auth"),
        ("history-worker", "auth"),
        ("webhooks", "auth"),
    }


def test_only_chat_and_webhooks_reach_the_internet_but_no_private_address(base: list[Object]) -> None:
    outward = [each for each in of_kind(base, "NetworkPolicy") if reaches_the_internet(each)]
    blocks = [peer["ipBlock"] for each in outward for peer in peers(each) if "ipBlock" in peer]

    assert [each["metadata"]["name"] for each in outward] == ["chat", "webhooks"]
    v4 = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
    assert len(v4) == 2
    for block in v4:
        assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["except"])


def test_policies_name_the_ports_of_the_services(base: list[Object]) -> None:
    ports = {each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in of_kind(base, "Service")}
    for policy in of_kind(base, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            called = [peer["podSelector"]["matchLabels"] for peer in rule["to"] if set(peer) == {"podSelector"}]
            assert [ports[labels["app.kubernetes.io/name"]] for labels in called] == (
                [port["port"] for port in rule["ports"]] if called else []
            )


def test_the_gateway_reaches_each_service_by_a_name_that_resolves_to_its_pods(base: list[Object]) -> None:
    (settings,) = [each["data"] for each in of_kind(base, "ConfigMap") if "CHAT_URL" in each["data"]]
    for name in ("auth", "chat", "history", "webhooks"):
        service = one(base, "Service", str(urlsplit(settings[f"{name.upper()}_URL"]).hostname))["spec"]
        (container,) = one(base, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}

        assert service["clusterIP"] == "None"
        assert [port["port"] for port in service["ports"]] == [ports["http"]], "no proxy translates the port"
        assert "publishNotReadyAddresses" not in service


def test_the_example_overlay_replaces_the_name_of_every_image(render: Render) -> None:
    images = {
        container["image"]
        for each in of_kind(render("overlays/example"), "Deployment")
        for container in each["spec"]["template"]["spec"]["containers"]
    }

    assert len(images) == 5
    assert all(image.startswith("registry.example.org/parley/") for image in images)


def test_a_changed_setting_changes_the_name_of_its_config_map(base: list[Object], render: Render) -> None:
    changed = names(base, "ConfigMap") - names(render("overlays/example"), "ConfigMap")

    assert {name.rpartition("-")[0] for name in changed} == {"parley", "gateway", "chat"}
