"""The compose file, running: first account, operator commands, webhooks, metrics, local model, and the proxy."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from fake_provider.process import RunningProvider
from parley_testing import eventually
from parley_testing.deployment.compose import ComposeProject
from parley_testing.deployment.docker import docker, inspect
from parley_testing.http.client import UserClient, open_http
from parley_testing.workload.compose_clients import SERVICES, STORES, numbered, open_edge

pytestmark = pytest.mark.chaos

DELIVERY_TIMEOUT = 120.0
ASK_LOCAL_MODEL = """
import json, urllib.request
body = {"model": "smollm2-135m-instruct", "max_tokens": 20, "messages": [{"role": "user", "content": "What is a cat?"}]}
url = "http://local-model:8080/v1/chat/completions"
request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request, timeout=60))["choices"][0]["message"]["content"])
"""
RECEIVER = """
import http.server
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("0.0.0.0", 8080), Receiver).serve_forever()
"""


def test_everything_is_healthy_and_nothing_else_runs(project: ComposeProject) -> None:
    assert set(project.services()) == {*SERVICES, *STORES, "proxy", "fake-provider"}
    assert set(project.health().values()) == {"healthy"}


async def test_the_first_account_is_made_with_one_command_and_gets_an_answer(admin: UserClient) -> None:
    events = [event async for event in admin.stream("hello [[fake tokens=12]]")]

    assert "".join(event.data["delta"] for event in events).split() == numbered(12).split()
    assert [event.data["finished"] for event in events].count(True) == 1
    me = (await admin.request("GET", "/api/v1/auth/me")).json()
    assert "admin" in str(me)


async def test_a_plan_of_the_operators_file_applies(project: ComposeProject, admin: UserClient) -> None:
    assert project.inside("gateway", "cat", "/etc/parley/plans.yaml").startswith("default:")
    response = await admin.request("GET", "/api/v1/conversations")
    assert response.headers["x-ratelimit-limit-requests"] == "60000"


def test_operator_commands_work_in_their_containers(project: ComposeProject) -> None:
    for command in (
        ("exec", "--no-TTY", "auth", "parley", "admin", "list-users"),
        ("exec", "--no-TTY", "chat", "parley", "verify"),
        ("run", "--rm", "--no-TTY", "operator", "events", "lag", "history.turns"),
    ):
        done = project.status(*command)
        assert done.returncode == 0, done.stdout
    assert project.status("exec", "--no-TTY", "chat", "parley", "events", "dead", "list").returncode != 0


async def test_a_webhook_tells_its_receiver_of_a_turn(project: ComposeProject, admin: UserClient) -> None:
    name, network = f"{project.name}-receiver", f"{project.name}_inside"
    options = ("--detach", f"--name={name}", f"--network={network}", "--entrypoint=python")
    docker("run", *options, "parley/chat:compose-test", "-c", RECEIVER)
    try:
        address = inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
        body = {"url": f"http://{address}:8080/hooks", "events": ["conversation.turn.completed"], "scope": "all"}
        created = await admin.request("POST", "/api/v1/webhooks", json=body)
        assert created.status_code == httpx2.codes.CREATED, created.text
        turn = str((await admin.chat("hook [[fake tokens=2]]"))["turn_id"])
        await eventually(lambda: turn in docker("logs", name), within=DELIVERY_TIMEOUT)
        deleted = await admin.request("DELETE", f"/api/v1/webhooks/{created.json()['id']}")
        assert deleted.status_code == httpx2.codes.NO_CONTENT, deleted.text
    finally:
        docker("rm", "--force", name)


async def test_prometheus_scrapes_every_replica(prometheus_url: str) -> None:
    async with open_http(prometheus_url) as client:

        async def scraped() -> bool:
            response = await client.get("/api/v1/query", params={"query": "up"})
            up = {each["metric"]["job"]: each["value"][1] for each in response.json()["data"]["result"]}
            assert up.keys() == {f"parley-{name}" for name in SERVICES if name != "gateway-2"}
            return set(up.values()) == {"1"}

        assert await eventually(scraped, within=90)


def test_the_local_model_answers_the_network_of_the_services(project: ComposeProject) -> None:
    project.compose("--profile", "local-model", "up", "--detach", "--wait", "--no-build", "--no-deps", "local-model")
    answer = project.python("chat", ASK_LOCAL_MODEL)
    project.compose("--profile", "local-model", "rm", "--stop", "--force", "local-model")

    assert len(answer) > 1


def test_the_end_to_end_tests_pass_from_outside(
    project: ComposeProject, url: str, provider: RunningProvider, root: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PARLEY_E2E_URL": url, "PARLEY_E2E_PROVIDER": provider.url}
    log = tmp_path / "e2e.log"
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "e2e and not chaos", "-k", "deployed", "tests/e2e"],
            cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT, timeout=600, check=False,
        )  # fmt: skip
    print(f"\n{log.read_text().splitlines()[-1]}")
    assert done.returncode == 0, log.read_text()[-6000:]


async def test_the_proxy_serves_both_gateways_over_tls(edge_url: str, admin: UserClient) -> None:
    async with open_edge(edge_url) as client:
        user = UserClient(client, admin.username, admin.password)
        await user.log_in()
        events = [event async for event in user.stream("hello [[fake tokens=5]]")]
    assert "".join(event.data["delta"] for event in events).split() == numbered(5).split()
