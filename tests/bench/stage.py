"""Gateway process for benchmarks, with a cheap upstream and a Redis of its own."""

import contextlib
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from processes import running  # type: ignore[import-not-found]

from parley.ids import new_id
from parley.ratelimit.script import REVOCATIONS_MARKER
from parley.storage.redis import open_redis
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.faults.processes import resident_bytes
from parley_testing.security.token_issuer import TestIssuer

FOLDER = Path(__file__).resolve().parent
PLANS = "bench: {requests_per_minute: 10000000, burst: 1000000, streams: 20}\n"
UNLIMITED = 10_000_000


@dataclass
class Stage:
    """A running gateway: its port, its process and its token issuer."""

    port: int
    upstream_port: int
    gateway: subprocess.Popen[bytes]
    issuer: TestIssuer
    settings: dict[str, str]

    def token(self) -> str:
        """Return the token of a new user with high limits."""
        return self.issuer.sign({**self.issuer.claims(new_id(), lifetime=86_400), "plan": "bench"})

    @property
    def memory(self) -> float:
        """The gateway's resident memory in MB."""
        return resident_bytes(self.gateway.pid) / 1e6

    def connections(self) -> int:
        """Return the number of open descriptors of the gateway."""
        return len(list(Path(f"/proc/{self.gateway.pid}/fd").iterdir()))


@contextlib.asynccontextmanager
async def staged(**settings: str) -> AsyncIterator[Stage]:
    """Run the gateway in a context, and print the settings that differ from the defaults."""
    raise_descriptors()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder, port, upstream_port = Path(name), free_port(), free_port()
        redis = EmbeddedValkey(folder / "redis", durable=False, tcp=True)
        issuer = TestIssuer()
        (folder / "keys.json").write_bytes(orjson.dumps(issuer.jwks()))
        (folder / "plans.yaml").write_text(PLANS)
        await redis.start()
        try:
            async with open_redis(redis.url) as client:
                await client.set(REVOCATIONS_MARKER, 1)
            values = _environment(folder, redis, port, upstream_port) | settings
            upstream = [sys.executable, str(FOLDER / "upstream.py"), str(upstream_port), str(folder / "keys.json")]
            # The access log goes to /dev/null: on a disk a million lines would dominate the measurement.
            program = ["sh", "-c", f"exec {Path(sys.executable).parent / 'parley-gateway'} >/dev/null"]
            async with running(upstream, upstream_port), running(program, port, values) as gateway:
                print("settings:", *(f"{key}={value}" for key, value in sorted(settings.items())))
                yield Stage(port, upstream_port, gateway, issuer, values)
        finally:
            await redis.stop()


def raise_descriptors() -> None:
    """Raise the limit of descriptors of this process and its children to the maximum."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _environment(folder: Path, redis: EmbeddedValkey, port: int, upstream_port: int) -> dict[str, str]:
    upstream = f"http://127.0.0.1:{upstream_port}"
    return {
        "PORT": str(port),
        "ADMIN_PORT": str(free_port()),
        "REDIS_URL": redis.url,
        "AUTH_URL": upstream,
        "CHAT_URL": upstream,
        "HISTORY_URL": upstream,
        "PLANS_FILE": str(folder / "plans.yaml"),
        "ANONYMOUS_RATE_LIMIT": str(UNLIMITED),
        "RATE_LIMIT_PATIENCE": "1",
    }
