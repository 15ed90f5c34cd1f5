"""References between objects: selectors of pods, accounts, settings, and network policies."""

from collections.abc import Iterator

from parley_testing.deployment.manifests import Object, names, of_kind

WORKLOADS = {"Deployment", "StatefulSet", "Job"}


def workloads(objects: list[Object]) -> list[Object]:
    """Return the objects that have pods; of a CronJob, the Job that it makes."""
    made = [
        {**each, "kind": "Job", "spec": each["spec"]["jobTemplate"]["spec"]} for each in of_kind(objects, "CronJob")
    ]
    return [each for each in objects if each["kind"] in WORKLOADS] + made


def pods(objects: list[Object]) -> dict[str, Object]:
    """Return the labels of each workload's pods."""
    return {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in workloads(objects)}


def selects(selector: Object, labels: Object) -> bool:
    """Return whether a label selector matches labels."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return wanted and all(labels.get(each["key"]) in each["values"] for each in expressions)


def selectors(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield every selector of pods with the name of its object."""
    for each in objects:
        name = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Service":
            yield name, {"matchLabels": each["spec"]["selector"]}
        elif each["kind"] == "PodDisruptionBudget":
            yield name, each["spec"]["selector"]
        elif each["kind"] == "NetworkPolicy":
            yield name, each["spec"]["podSelector"]
            for peer in peers(each):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield name, peer["podSelector"]


def peers(policy: Object) -> list[Object]:
    """Return the peers of a network policy, in both directions."""
    rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
    return [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]


def dangling_selectors(objects: list[Object]) -> list[str]:
    """Return the objects with a selector that matches no pod."""
    labels = pods(objects).values()
    return [name for name, selector in selectors(objects) if not any(selects(selector, each) for each in labels)]


def dangling_references(objects: list[Object]) -> list[str]:
    """Return the accounts and config maps that workloads name and no object defines."""
    findings = []
    for each in workloads(objects):
        spec = each["spec"]["template"]["spec"]
        sources = [source["configMapRef"]["name"] for c in spec["containers"] for source in c.get("envFrom", [])]
        findings += sorted(set(sources) - names(objects, "ConfigMap"))
        findings += sorted({spec["serviceAccountName"]} - names(objects, "ServiceAccount"))
    return findings


def pods_without_policy(objects: list[Object]) -> list[str]:
    """Return the pods without a policy of their own for both directions."""
    policies = [each for each in of_kind(objects, "NetworkPolicy") if each["spec"]["podSelector"]]
    both = [
        each["spec"]["podSelector"] for each in policies if set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ]
    return [name for name, labels in pods(objects).items() if not any(selects(each, labels) for each in both)]
