"""Write dashboards and alerts of the component `monitoring` from its `source.yaml`; `--check` compares them."""

import json
import string
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "deploy/k8s/components/monitoring"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = [
    {"name": "datasource", "type": "datasource", "query": "prometheus"},
    {
        "name": "namespace",
        "type": "query",
        "datasource": DATASOURCE,
        "query": 'label_values(up{job="parley-gateway"}, namespace)',
        "refresh": 1,
    },
]
COLUMNS, WIDTH, HEIGHT = 2, 12, 8
WRITTEN = "Written by scripts/monitoring.py from source.yaml."
LINE_WIDTH = 110


def dashboard(name: str, source: dict[str, Any]) -> str:
    """Return a dashboard of Grafana as JSON."""
    document = {
        "uid": f"parley-{name}",
        "title": source["title"],
        "tags": ["parley"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": VARIABLES},
        "panels": [panel(number, each) for number, each in enumerate(source["panels"])],
    }
    return json.dumps(document, indent=1) + "\n"


def panel(number: int, source: dict[str, Any]) -> dict[str, Any]:
    """Return one panel; panels fill two columns in their order."""
    row, column = divmod(number, COLUMNS)
    described = {"description": source["description"]} if "description" in source else {}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": source["title"],
        **described,
        "datasource": DATASOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": source["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"refId": reference, "expr": query, "legendFormat": legend}
            for reference, (legend, query) in zip(string.ascii_uppercase, source["queries"].items(), strict=False)
        ],
    }


def rule(source: dict[str, Any]) -> str:
    """Return a PrometheusRule as YAML."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": source["name"], "namespace": "parley"},
        "spec": {"groups": source["groups"]},
    }
    header = [WRITTEN, *textwrap.wrap(source["about"], LINE_WIDTH)]
    text: str = yaml.dump(document, Dumper=LiteralDumper, sort_keys=False, width=LINE_WIDTH, allow_unicode=True)
    return "".join(f"# {line}\n" for line in header) + text


class LiteralDumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, such as queries."""


LiteralDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def documents() -> dict[Path, str]:
    """Return every file with its text."""
    source = yaml.safe_load((FOLDER / "source.yaml").read_text())
    boards = {
        FOLDER / f"dashboards/parley-{name}.json": dashboard(name, each) for name, each in source["dashboards"].items()
    }
    return boards | {FOLDER / f"{each['name'].removeprefix('parley-')}.yaml": rule(each) for each in source["alerts"]}


def main(arguments: list[str]) -> int:
    """Write the files; with `--check`, return 1 if one is out of date."""
    stale = {path: text for path, text in documents().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        print(f"{'out of date: ' if arguments else 'wrote '}{path.relative_to(FOLDER)}")
        if not arguments:
            path.write_text(text)
    return int(bool(arguments and stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
