"""Hosts of their own for replicas: others reach a replica there, and it reaches its dependencies from there."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from parley_testing.faults.lost_host import LostHost
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess

SECRET_URLS = {"database_url": "postgres", "redis_url": "redis", "amqp_url": "rabbitmq"}
"""Ends of the names of secrets, and the dependencies that they address."""
SERVICE = "service"
"""The name of a replica at its host."""
PROVIDER_URL = "OPENAI_BASE_URL"


def replicas_of(stack: SeparateStack) -> dict[str, ServiceProcess]:
    """Return one replica of each service, by the name of the victim."""
    return {
        "gateway": stack.gateways[0],
        "auth": stack.auth[0],
        "chat": stack.chat[0],
        "history": stack.history[0],
        "worker": stack.workers[0],
        "webhooks": stack.webhooks[0],
    }


@contextlib.asynccontextmanager
async def open_replica_hosts(
    stack: SeparateStack, dependencies: Mapping[str, int]
) -> AsyncIterator[dict[str, LostHost]]:
    """Move one replica of each service to a host of its own, and restart the stack; ``dependencies`` are ports."""
    replicas = replicas_of(stack)
    async with contextlib.AsyncExitStack() as opened:
        hosts = {
            name: await opened.enter_async_context(LostHost(number, {SERVICE: replica.port, **dependencies}))
            for number, (name, replica) in enumerate(replicas.items(), 1)
        }
        for name, replica in replicas.items():
            replica.settings = _uplinks(replica, hosts[name])
        for process in stack.everything:
            process.settings = {
                key: _moved(value, replicas, hosts) if key.endswith("_URL") else value
                for key, value in process.settings.items()
            }
            await process.start()
        yield hosts


def _uplinks(replica: ServiceProcess, host: LostHost) -> dict[str, str]:
    """Return the settings of a replica with its dependencies at its own host."""
    folder = Path(replica.settings["SECRETS_DIR"])
    own = folder.with_name(f"{replica.name}-own-secrets")
    own.mkdir()
    for secret in folder.iterdir():
        text = secret.read_text()
        service = next((name for end, name in SECRET_URLS.items() if secret.name.endswith(end)), None)
        (own / secret.name).write_text(host.moved(text, service) if service else text)
    settings = {**replica.settings, "SECRETS_DIR": str(own)}
    if PROVIDER_URL in settings:
        settings[PROVIDER_URL] = host.moved(settings[PROVIDER_URL], "provider")
    return settings


def _moved(urls: str, replicas: Mapping[str, ServiceProcess], hosts: Mapping[str, LostHost]) -> str:
    """Replace the addresses of replicas by those of their hosts."""
    for name, replica in replicas.items():
        urls = urls.replace(replica.url, f"http://{hosts[name].address(SERVICE)}")
    return urls
