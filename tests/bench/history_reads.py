"""Reading and searching a large history over HTTP: ``make bench-history``.

Fills a database of its own (``--messages``), then sends each request to a history process, one at a time. Prints p50
and p95 of each, and ``met`` or ``missed``. With ``--folder`` the database is kept, and used again by the next run.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import asyncpg
import orjson
import uvloop
from client import OK, MeasuringClient  # type: ignore[import-not-found]
from history_cases import Case, cases  # type: ignore[import-not-found]
from history_data import Generator, Landmarks  # type: ignore[import-not-found]
from history_filling import fill  # type: ignore[import-not-found]
from processes import running  # type: ignore[import-not-found]
from stage import FOLDER  # type: ignore[import-not-found]
from verdicts import RefusalCounter, judge  # type: ignore[import-not-found]

from parley.messaging import outbox
from parley.storage import migrations
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.faults.processes import peak_bytes, resident_bytes
from parley_testing.security.token_issuer import TestIssuer
from parley_testing.stacks.service_process import ServiceProcess

DATABASE = "bench_history"
TIMEOUT = 30.0
MOST_EXPORT_GROWTH = 32.0
"""Megabytes by which an export of everything may enlarge the process."""
LARGEST_CONVERSATION = """
SELECT id FROM conversations WHERE user_id = $1 ORDER BY message_count DESC, id LIMIT 1"""


@dataclass
class Measured:
    """Milliseconds of each response, and refusals."""

    times: list[float] = field(default_factory=list)
    refusals: RefusalCounter = field(default_factory=RefusalCounter)

    def verdict(self, most: float) -> tuple[str, bool]:
        """Return a summary, and whether the target is met."""
        if not self.times:
            return f"no response, {self.refusals}", False
        times = self.times * 2 if len(self.times) == 1 else self.times
        points = statistics.quantiles(times, n=20, method="inclusive")
        met = points[18] <= most and not self.refusals.statuses
        figures = f"p50 {points[9]:7.1f} ms, p95 {points[18]:7.1f} ms, {self.refusals}"
        return f"{figures}; most {most:.0f} ms", met


async def main(options: argparse.Namespace) -> int:
    """Print the measurements; return the exit status."""
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        generator = Generator(options.messages)
        async with _servers(folder) as (postgres, redis):
            dsn = postgres.databases.url(f"{DATABASE}_{options.messages}")
            conversation = await _filled(postgres, dsn, generator)
            issuer = TestIssuer()
            async with _history(folder, dsn, redis, issuer) as process:
                return await _measure(process, issuer, generator.landmarks, conversation, options)


@contextlib.asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    redis = EmbeddedValkey(folder / "valkey", durable=False)
    await postgres.start()
    try:
        await redis.start()
        yield postgres, redis
    finally:
        await redis.stop()
        await postgres.stop()


async def _filled(postgres: EmbeddedPostgres, dsn: str, generator: Generator) -> UUID:
    """Migrate and fill the database unless it is full; return the largest conversation of the largest user."""
    name = f"{DATABASE}_{generator.total}"
    if not await postgres.databases.exists(name):
        await postgres.databases.create_database(name)
    await migrations.migrate(dsn, outbox.MIGRATIONS, "history")
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT count(*) FROM messages") == 0:
            await fill(dsn, generator)
        found: UUID = await connection.fetchval(LARGEST_CONVERSATION, generator.landmarks.largest)
        return found
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def _history(folder: Path, dsn: str, redis: EmbeddedValkey, issuer: TestIssuer) -> AsyncIterator[ServiceProcess]:
    keys, port = folder / "keys.json", free_port()
    keys.write_bytes(orjson.dumps(issuer.jwks()))
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    values = {"history_database_url": dsn, "redis_url": redis.url, "amqp_url": f"amqp://127.0.0.1:{free_port()}/"}
    for name, value in {**values, "internal_client_secret": "-" * 32}.items():
        (secrets / name).write_text(value)
    auth = f"http://127.0.0.1:{port}"
    settings = {"AUTH_URL": auth, "JWKS_URL": f"{auth}/.well-known/jwks.json", "SECRETS_DIR": str(secrets)}
    settings |= {"ENVIRONMENT": "development", "RUN_CONSUMER": "false"}
    process = ServiceProcess("history", "parley-history", folder, settings)
    async with running([sys.executable, str(FOLDER / "upstream.py"), str(port), str(keys)], port):
        try:
            await process.start()
            yield process
        finally:
            await process.stop()


async def _measure(
    process: ServiceProcess, issuer: TestIssuer, marks: Landmarks, conversation: UUID, options: argparse.Namespace
) -> int:
    all_met = True
    async with MeasuringClient(process.port, TIMEOUT) as client:
        for case in cases(marks, conversation):
            if options.only not in case.name:
                continue
            token = issuer.token(case.user, lifetime=86_400)
            measured = Measured()
            if case.pages:
                await _read_pages(client, case, token, measured)
            else:
                await _repeat(client, case, token, measured, options.repeat)
            text, met = measured.verdict(case.most)
            all_met &= judge(f"{case.name:52} {text}", met=met)
        if options.only in "export":
            all_met &= await _export(client, process, issuer.token(marks.largest, lifetime=86_400))
    return 0 if all_met else 1


async def _repeat(client: MeasuringClient, case: Case, token: str, measured: Measured, times: int) -> None:
    for number in range(times + 1):
        status, took, _ = await client.get(case.path, token)
        if status != OK:
            measured.refusals.add(status)
        elif number:  # the first one warms caches up
            measured.times.append(took)


async def _read_pages(client: MeasuringClient, case: Case, token: str, measured: Measured) -> None:
    """Read every page; a refusal ends the list."""
    path: str | None = case.path
    while path is not None:
        status, took, body = await client.get(path, token)
        if status != OK:
            measured.refusals.add(status)
            return
        measured.times.append(took)
        cursor = json.loads(body)["next_cursor"]
        path = f"{case.path}&cursor={quote(cursor)}" if cursor else None


async def _export(client: MeasuringClient, process: ServiceProcess, token: str) -> bool:
    before = resident_bytes(process.child.pid)
    status, took, _ = await client.get("/api/v1/export", token)
    grown = (peak_bytes(process.child.pid) - before) / 1e6
    met = status == OK and grown <= MOST_EXPORT_GROWTH
    text = f"{took / 1000:.1f} s, status {status}, memory grew by {grown:.0f} MB; most {MOST_EXPORT_GROWTH:.0f} MB"
    return bool(judge(f"{'export of everything':52} {text}", met=met))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=40, help="requests of each case that is no list")
    parser.add_argument("--only", default="", help="measure the cases whose names contain this")
    parser.add_argument("--folder", type=Path, help="folder of a database that is kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(_options())))
