"""The compose file, running: restarts and kills under streams, scaling, upgrade, and new secrets."""

import asyncio
import time

import httpx2
import pytest

from parley_testing import eventually
from parley_testing.deployment.compose import ComposeProject
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.workload.compose_clients import (
    SERVICES,
    STORES,
    TOKENS,
    is_prefix_of_numbers,
    numbered,
    open_edge,
    streams_during,
)
from parley_testing.workload.turns import stored_exactly_once

pytestmark = pytest.mark.chaos

STORE_TIMEOUT, HEALTHY_TIMEOUT = 120.0, 180.0


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
