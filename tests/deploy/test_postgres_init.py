"""Databases of the compose file on a real server: one role each, closed to the others, created idempotently."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from parley_embedded.postgres.databases import Databases
from parley_embedded.postgres.programs import postgres_program
from parley_embedded.postgres.server import EmbeddedPostgres

pytestmark = pytest.mark.integration

SERVICES = ("auth", "chat", "history", "webhooks")


def make_databases(root: Path, secrets: Path, url: str) -> None:
    script = root / "deploy/docker/postgres-init/create-databases.sql"
    command = [str(postgres_program("psql")), "--no-psqlrc", "--quiet", f"--file={script}", url]
    environment = {**os.environ, "SECRETS_DIR": str(secrets)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
async def admin(root: Path, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Databases]:
    """A server on which the script ran twice."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data", durable=False)
    await server.start()
    try:
        for _ in range(2):
            make_databases(root, secrets, server.url)
        yield Databases(server.url)
    finally:
        await server.stop()


def url_of(service: str, database: str, admin: Databases, secrets: Path) -> str:
    password = (secrets / f"{service}_database_password").read_text().strip()
    return admin.url(f"parley_{database}", f"parley_{service}", password)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_make_tables_in_its_own_database(service: str, admin: Databases, secrets: Path) -> None:
    connection = await asyncpg.connect(url_of(service, service, admin, secrets), timeout=10)
    try:
        await connection.execute("CREATE TABLE kept (id int); DROP TABLE kept")
    finally:
        await connection.close()


async def test_a_service_cannot_enter_the_database_of_another(admin: Databases, secrets: Path) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url_of("chat", "auth", admin, secrets), timeout=10)
