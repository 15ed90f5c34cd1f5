"""The compose file, running: first account, separation, faults under streams, scaling, upgrade, and new secrets."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import httpx2
import pytest

from fake_provider.process import RunningProvider
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.deployment.compose import ComposeProject
from parley_testing.deployment.docker import docker, inspect
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.workload.turns import AnsweredTurn, ResumingReader, stored_exactly_once

pytestmark = pytest.mark.chaos

SERVICES = ("gateway", "gateway-2", "auth", "chat", "history", "history-worker", "webhooks")
STORES = ("postgres", "redis", "rabbitmq")
UNAVAILABLE = (
    httpx2.codes.BAD_GATEWAY,
    httpx2.codes.SERVICE_UNAVAILABLE,
    httpx2.codes.GATEWAY_TIMEOUT,
)
"""Statuses on which a client retries while a container is away."""
END_TIMEOUT, STORE_TIMEOUT, HEALTHY_TIMEOUT = 120.0, 120.0, 180.0
TOKENS = 40
PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("open")
except OSError as error:
    print("closed")
"""
ASK_LOCAL_MODEL = """
import json, urllib.request
body = {"model": "smollm2-135m-instruct", "max_tokens": 20, "messages": [{"role": "user", "content": "What is a cat?"}]}
url = "http://local-model:8080/v1/chat/completions"
request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request, timeout=60))["choices"][0]["message"]["content"])
"""
BROKER = """
import asyncio, sys, aio_pika, aiormq
from pathlib import Path
async def main():
    url = Path("/run/secrets/amqp_url").read_text().strip()
    async with await aio_pika.connect(url) as connection:
        async def tried(name, use):
            channel = await connection.channel()
            try:
                await use(channel)
                print(name, "allowed")
            except aiormq.exceptions.ChannelAccessRefused:
                print(name, "refused")
        other = "auth.erasures" if "parley-auth" not in url else "history.turns"
        await tried("read-other", lambda c: get(c, other))
        await tried("read-log", lambda c: get(c, "parley.log"))
        await tried("purge-other", lambda c: purge(c, other))
        await tried("declare-other", lambda c: c.declare_queue("billing.x"))
        await tried("write-other", lambda c: bind(c, other))
        await tried("own-queue", lambda c: c.declare_queue(sys.argv[1] + ".probe", auto_delete=True, exclusive=True))
async def get(channel, name):
    queue = await channel.get_queue(name, ensure=False)
    await queue.get(fail=False, no_ack=False)
async def purge(channel, name):
    await (await channel.get_queue(name, ensure=False)).purge()
async def bind(channel, name):
    await (await channel.get_queue(name, ensure=False)).bind("parley.events", "#")
asyncio.run(main())
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


def tls() -> ssl.SSLContext:
    """Trust any certificate: the one of the test is signed by itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextlib.asynccontextmanager
async def open_edge(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=tls()) as client:
        yield client


def numbered(count: int) -> str:
    return " ".join(f"t{i}" for i in range(1, count + 1))


def is_prefix_of_numbers(text: str) -> bool:
    """Return whether the text is t1, t2 and so on, with no token lost or repeated."""
    return text.split() == [f"t{i}" for i in range(1, len(text.split()) + 1)]


async def all_healthy(project: ComposeProject) -> None:
    def healthy() -> bool:
        found = project.health()
        return len(found) >= len(SERVICES) + len(STORES) and set(found.values()) <= {"healthy", ""}

    await eventually(healthy, within=HEALTHY_TIMEOUT)


async def verified(project: ComposeProject) -> str:
    """Wait until `parley verify` finds nothing wrong, and return its last line."""

    def agrees() -> str:
        done = project.status("exec", "--no-TTY", "chat", "parley", "verify", "--settle", "1")
        assert done.returncode == 0, done.stdout
        return done.stdout.strip().splitlines()[-1]

    return await eventually(agrees, within=STORE_TIMEOUT)


async def streams_during(
    users: Sequence[UserClient], gateways: Sequence[httpx2.AsyncClient], fault: Callable[[], Awaitable[object]],
    *, rate: int = 10, tokens: int = TOKENS,
) -> list[AnsweredTurn]:  # fmt: skip
    """Cause the fault while each user reads a stream to its end, resuming where it breaks."""
    readers = [
        ResumingReader(user, gateways, retry_timeout=END_TIMEOUT, retried_statuses=UNAVAILABLE) for user in users
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(reader.read(f"{new_id()} [[fake tokens={tokens} rate={rate}]]")) for reader in readers
        ]
        await eventually(lambda: all(reader.text for reader in readers), within=30)
        await fault()
    return [task.result() for task in tasks]


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


@pytest.mark.parametrize(
    ("service", "store", "port", "network", "reached"),
    [
        ("gateway", "redis", 6379, "inside", "open"),
        ("gateway", "chat", 8002, "inside", "open"),
        ("gateway", "postgres", 5432, "databases", "closed"),
        ("gateway", "rabbitmq", 5672, "broker", "closed"),
        ("chat", "postgres", 5432, "databases", "open"),
        ("chat", "rabbitmq", 5672, "broker", "open"),
        ("fake-provider", "postgres", 5432, "databases", "closed"),
        ("fake-provider", "rabbitmq", 5672, "broker", "closed"),
    ],
)
def test_a_container_reaches_what_it_needs_and_nothing_else(
    service: str, store: str, port: int, network: str, reached: str, project: ComposeProject
) -> None:
    for address in (store, project.address(store, network)):
        assert project.inside(service, "python", "-c", PROBE, address, str(port)).strip() == reached


def test_a_subscriber_in_its_network_reaches_the_broker_only(project: ComposeProject) -> None:
    network, image = f"{project.name}_subscribers", "parley/chat:compose-test"
    for store, port, reached in (("rabbitmq", 5672, "open"), ("postgres", 5432, "closed"), ("chat", 8002, "closed")):
        options = ("--rm", "--entrypoint=python", f"--network={network}")
        assert docker("run", *options, image, "-c", PROBE, store, str(port)).strip() == reached


@pytest.mark.parametrize("service", ["auth", "chat", "history", "webhooks"])
def test_a_service_has_a_broker_user_that_cannot_touch_what_belongs_to_others(
    service: str, project: ComposeProject
) -> None:
    found = dict(line.split() for line in project.inside(service, "python", "-c", BROKER, service).splitlines())

    assert found.pop("own-queue") == "allowed"
    assert set(found.values()) == {"refused"}, found


def test_there_is_no_broker_user_besides_those_of_the_services(project: ComposeProject) -> None:
    listed = project.inside("rabbitmq", "rabbitmqctl", "--quiet", "--no-table-headers", "list_users")
    assert sorted(line.split()[0] for line in listed.splitlines()) == [
        "parley-auth", "parley-chat", "parley-history", "parley-operator", "parley-webhooks",
    ]  # fmt: skip


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
        await eventually(lambda: turn in docker("logs", name), within=STORE_TIMEOUT)
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


@pytest.mark.parametrize("service", [*SERVICES, *STORES])
@pytest.mark.parametrize("fault", ["restart", "kill"])
async def test_no_token_is_lost_or_repeated_when_a_container_is_restarted_or_killed(
    fault: str, service: str, project: ComposeProject, users: list[UserClient], url: str, edge_url: str
) -> None:
    async def cause() -> None:
        if fault == "restart":
            await project.restart(service)
        else:
            before = project.restarts(service)
            project.kill(service)
            await eventually(lambda: project.restarts(service) > before, within=60)

    async with open_http(url) as one, open_edge(edge_url) as other:
        turns = await streams_during(users, [one, other], cause)
        for turn in turns:
            assert is_prefix_of_numbers(turn.text), turn.text
            assert turn.status == "completed" or (fault == "kill" and service == "chat" and turn.status == "incomplete")
            assert turn.status == "incomplete" or turn.text.split() == numbered(TOKENS).split()
        await all_healthy(project)
        await stored_exactly_once(turns, within=STORE_TIMEOUT)


async def test_services_scale_up_and_down(project: ComposeProject, users: list[UserClient], url: str) -> None:
    project.up("--scale", "chat=2", "--scale", "history=2", "--scale", "auth=2")
    assert [len(project.containers(name)) for name in ("chat", "history", "auth")] == [2, 2, 2]
    async with open_http(url) as one:
        turns = await streams_during(users, [one], lambda: asyncio.to_thread(project.up))
        assert {turn.text.strip() for turn in turns} == {numbered(TOKENS)}
        await stored_exactly_once(turns, within=STORE_TIMEOUT)
    assert [len(project.containers(name)) for name in ("chat", "history", "auth")] == [1, 1, 1]


async def test_an_upgrade_one_by_one_refuses_nothing_and_breaks_no_stream(
    project: ComposeProject, edge_url: str
) -> None:
    probes: list[int | str] = []
    gaps: list[str] = []
    done = asyncio.Event()

    async def probe(user: UserClient) -> None:
        while not done.is_set():
            try:
                response = await user.request("GET", "/api/v1/conversations")
                probes.append(response.status_code)
                posted = await user.request("POST", "/api/v1/chat", json={"message": "hi [[fake tokens=1]]"})
                probes.append(posted.status_code)
            except httpx2.TransportError as error:
                probes.append(repr(error))
            await asyncio.sleep(0.1)

    async def stream(user: UserClient) -> None:
        while not done.is_set():
            events = [event async for event in user.stream("long [[fake tokens=250 rate=10]]")]
            text = "".join(event.data["delta"] for event in events if event.name is None)
            if text.split() != numbered(250).split():
                gaps.append(text)

    async with open_edge(edge_url) as client:
        users = [await register(client) for _ in range(4)]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(probe(users[0]))
            for user in users[1:]:
                group.create_task(stream(user))
            try:
                await asyncio.to_thread(project.script, "upgrade")
            finally:
                done.set()
        failed = [each for each in probes if each != httpx2.codes.OK]
        print(
            f"\nupgrade in {time.monotonic() - began:.0f} s: "
            f"{len(failed)} of {len(probes)} probes failed, {len(gaps)} gaps"
        )
    assert (failed, gaps) == ([], [])


async def test_down_and_up_keep_every_account_and_conversation(
    project: ComposeProject, admin: UserClient, url: str
) -> None:
    await admin.log_in()  # the access token of the first tests may have expired
    before = (await admin.request("GET", "/api/v1/conversations")).json()["data"]
    project.down()
    project.up()
    await admin.log_in()

    assert before
    assert (await admin.request("GET", "/api/v1/conversations")).json()["data"] == before
    await verified(project)


async def test_every_generated_secret_is_replaced_in_the_running_product(
    project: ComposeProject, admin: UserClient
) -> None:
    old = {path.name: path.read_bytes() for path in project.secrets.iterdir()}
    kept = {"auth_secret_key", "webhooks_secret_key", "openai_api_key", "smtp_url", "proxy_certificate.pem"}
    await admin.log_in()
    project.script("rotate-secrets")
    new = {path.name: path.read_bytes() for path in project.secrets.iterdir()}

    assert new.keys() == old.keys()
    assert {name for name in old if old[name] == new[name]} == kept
    await all_healthy(project)
    # An access token and a refresh token of before are still good.
    refreshed = await admin.http.post(
        "/api/v1/auth/token", data={"grant_type": "refresh_token", "refresh_token": admin.tokens["refresh_token"]}
    )
    assert refreshed.status_code == httpx2.codes.OK, refreshed.text

    async def answered() -> str:
        # The first request after a start gets 503 while chat fetches the keys of auth.
        return str((await admin.chat("after [[fake tokens=3]]"))["message"])

    assert (await eventually(answered, within=30)).split() == numbered(3).split()
    assert refuses_old_passwords(project, old) == {"postgres", "redis", "rabbitmq"}


def refuses_old_passwords(project: ComposeProject, old: dict[str, bytes]) -> set[str]:
    """Return the stores that refuse the passwords of before."""
    found = set()
    password = old["postgres_password"].decode().strip()
    dsn = f"postgresql://postgres:{password}@postgres:5432/postgres"
    program = f"import asyncio, asyncpg; asyncio.run(asyncpg.connect({dsn!r}, timeout=5))"
    if "InvalidPasswordError" in project.inside("chat", "python", "-c", program, check=False):
        found.add("postgres")
    redis = f"import redis; redis.from_url({old['redis_url'].decode().strip()!r}).ping()"
    if "AuthenticationError" in project.inside("chat", "python", "-c", redis, check=False):
        found.add("redis")
    amqp = old["chat_amqp_url"].decode().strip()
    rabbit = f"import asyncio, aio_pika; asyncio.run(aio_pika.connect({amqp!r}, timeout=5))"
    if "ACCESS_REFUSED" in project.inside("chat", "python", "-c", rabbit, check=False):
        found.add("rabbitmq")
    return found


async def test_in_the_end_no_turn_is_wrong(project: ComposeProject) -> None:
    print(f"\nparley verify: {await verified(project)}")
