"""Runner leases in Postgres, and turns whose lease has expired."""

from collections.abc import Collection
from uuid import UUID

from chat.model import Turn
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.turn_rows import to_turn

_RENEW_LEASE = """
WITH renewed AS (
    INSERT INTO runners (id, until) VALUES ($1, now() + make_interval(secs => $2))
    ON CONFLICT (id) DO UPDATE SET until = excluded.until
)
SELECT id FROM turns WHERE runner_id = $1 AND status = 'running' AND cancel_requested_at IS NOT NULL"""
_RELEASE_LEASE = "DELETE FROM runners WHERE id = $1"
_HAS_NO_LEASE = "NOT EXISTS (SELECT FROM runners AS r WHERE r.id = t.runner_id AND r.until > now())"
# All running turns first, by their index. In the order of ids, Postgres may read all turns to find that none is left.
_LEFT_BEHIND = f"""
WITH running AS MATERIALIZED (SELECT id, runner_id FROM turns WHERE status = 'running')
SELECT t.id FROM running AS t
WHERE CASE WHEN t.runner_id = $1 THEN NOT t.id = ANY ($2::uuid[]) ELSE {_HAS_NO_LEASE} END
ORDER BY t.id LIMIT $3"""  # noqa: S608 - only a constant is interpolated
# The expression of the status keeps Postgres from the index of the running turns: docs/query-plans.md, rule 11.
_TAKE_OVER = f"""
WITH taken AS (
    UPDATE turns SET epoch = epoch + 1, runner_id = $1
    WHERE id IN (
        SELECT t.id FROM turns AS t
        WHERE t.id = ANY ($2::uuid[]) AND t.status || '' = 'running'
          AND (t.runner_id = $1 OR {_HAS_NO_LEASE})
        ORDER BY t.id FOR UPDATE OF t SKIP LOCKED
    )
    RETURNING *
)
SELECT * FROM taken ORDER BY id"""  # noqa: S608 - only a constant is interpolated
_STATES = "SELECT id, status = 'running' AS running FROM turns WHERE id = ANY ($1::uuid[])"
_TURNS = "SELECT * FROM turns WHERE id = ANY ($1::uuid[])"


class PostgresRunnerStore:
    """Runner leases, in the database of the turns."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def renew_lease(self, runner_id: UUID, lease: float) -> list[UUID]:
        """Renew a lease; returns the runner's turns with a cancellation request."""
        async with self._turns.connection() as connection:
            return [row["id"] for row in await connection.fetch(_RENEW_LEASE, runner_id, lease)]

    async def release_lease(self, runner_id: UUID) -> None:
        """Release a lease."""
        async with self._turns.connection() as connection:
            await connection.execute(_RELEASE_LEASE, runner_id)

    async def left_behind(self, runner_id: UUID, owned: Collection[UUID], limit: int) -> list[UUID]:
        """Return turns whose lease has expired, and the runner's own that are not in ``owned``."""
        async with self._turns.connection() as connection:
            return [row["id"] for row in await connection.fetch(_LEFT_BEHIND, runner_id, list(owned), limit)]

    async def take_over(self, runner_id: UUID, turn_ids: Collection[UUID]) -> list[Turn]:
        """Claim those of the turns that are the runner's own, or whose lease has expired."""
        async with self._turns.connection() as connection:
            rows = await connection.fetch(_TAKE_OVER, runner_id, list(turn_ids))
        return [to_turn(row) for row in rows]

    async def ended(self, turn_ids: Collection[UUID]) -> dict[UUID, Turn | None]:
        """Return those of the turns that exist by their ID, None for a running one. Its long input is not read."""
        async with self._turns.connection() as connection:
            states = {row["id"]: row["running"] for row in await connection.fetch(_STATES, list(turn_ids))}
            ended = [turn_id for turn_id, running in states.items() if not running]
            rows = await connection.fetch(_TURNS, ended) if ended else []
        return {**dict.fromkeys(states), **{row["id"]: to_turn(row) for row in rows}}
