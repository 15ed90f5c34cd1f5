"""SQL statements that find due deliveries. Their cost does not depend on the number of deliveries that wait.

Postgres may estimate one open delivery while there are many: see ``docs/query-plans.md``. The time of the oldest due
delivery is therefore all that is read of it, so that the index with that time is the only one that needs no row.
"""

MAX_WEBHOOKS = 50
"""Webhooks that one claim looks at."""
MAX_COUNTED = 10_000
"""Due deliveries that are counted: each process counts every few seconds, also when a receiver was down for a day."""
MAX_WALKED_KEYS = 1000
"""Keys of an ordered webhook that one claim looks at. The next claim goes on behind them."""

_OPEN = "d.status IN ('pending', 'failed')"
_DUE = f"{_OPEN} AND d.next_attempt_at <= now()"
# Requests that a webhook may get now, at most $2 at once. A webhook that fails gets one at a time.
_FREE = """CASE WHEN w.failing_since IS NULL THEN $2 ELSE 1 END - (
        SELECT count(*) FROM deliveries AS d
        WHERE d.webhook_id = w.id AND d.claim IS NOT NULL AND d.claimed_until > now())"""
# The webhooks with open deliveries, from one to the next by an index: the cost depends on their number, not on that of
# the deliveries or of all webhooks.
_WAITING = f"""
WITH RECURSIVE waiting AS (
    (SELECT d.webhook_id AS id FROM deliveries AS d WHERE {_OPEN} ORDER BY d.webhook_id LIMIT 1)
    UNION ALL
    SELECT next.id FROM waiting CROSS JOIN LATERAL (
        SELECT d.webhook_id AS id FROM deliveries AS d WHERE {_OPEN} AND d.webhook_id > waiting.id
        ORDER BY d.webhook_id LIMIT 1
    ) AS next
)"""  # noqa: S608 - only constants are interpolated
# Locked, so that two processes never count the claims of one webhook at the same time. Webhooks that fail come last.
WEBHOOKS = f"""
{_WAITING}
SELECT w.id, w.ordered FROM webhooks AS w JOIN waiting ON waiting.id = w.id
WHERE w.status = 'active' AND (w.failing_since IS NULL OR NOT $1) AND (w.scope = 'all' OR w.user_id <> ALL ($3))
  AND (SELECT d.next_attempt_at FROM deliveries AS d WHERE d.webhook_id = w.id AND {_OPEN}
       ORDER BY d.next_attempt_at LIMIT 1) <= now()
  AND {_FREE} > 0
ORDER BY w.failing_since IS NOT NULL, random() LIMIT {MAX_WEBHOOKS} FOR NO KEY UPDATE OF w SKIP LOCKED"""  # noqa: S608
# Walks over the keys with open deliveries, from the key after the last one claimed, so that each key has its turn.
_WALK = f"""
WITH RECURSIVE walk AS (
    SELECT r.last_key AS key, 0 AS step, false AS wrapped
    UNION ALL
    SELECT next.key, walk.step + 1, next.wrapped FROM walk CROSS JOIN LATERAL (
        (SELECT d.partition_key AS key, walk.wrapped FROM deliveries AS d
         WHERE d.webhook_id = r.id AND {_OPEN} AND d.partition_key > walk.key ORDER BY d.partition_key LIMIT 1)
        UNION ALL
        (SELECT d.partition_key, true FROM deliveries AS d
         WHERE NOT walk.wrapped AND d.webhook_id = r.id AND {_OPEN} ORDER BY d.partition_key LIMIT 1)
        LIMIT 1
    ) AS next WHERE walk.step < {MAX_WALKED_KEYS} AND NOT (next.wrapped AND next.key > r.last_key)
)"""  # noqa: S608 - only constants are interpolated
# It reads one delivery of each key, however many wait behind a first one that is retried later.
_HEADS = f"""
{_WALK}
SELECT head.id FROM walk CROSS JOIN LATERAL (
    SELECT d.id, d.next_attempt_at FROM deliveries AS d
    WHERE d.webhook_id = r.id AND d.partition_key = walk.key AND {_OPEN} ORDER BY d.position LIMIT 1
) AS head WHERE walk.step > 0 AND head.next_attempt_at <= now() LIMIT greatest(r.free, 0)"""  # noqa: S608 - constants
# Where the walks ended that found nothing in so many keys.
WALKED = f"""
SELECT r.id, walked.key
FROM unnest($1::uuid[], $2::text[]) AS r (id, last_key)
CROSS JOIN LATERAL ({_WALK} SELECT key FROM walk WHERE step = {MAX_WALKED_KEYS}) AS walked"""  # noqa: S608 - constants
# An event about an erased user is never sent: its delivery is deleted, and the event soon after it.
CLAIM = f"""
WITH room AS (
    SELECT w.*, given.last_key, {_FREE} AS free
    FROM unnest($1::uuid[], $6::text[]) AS given (id, last_key) JOIN webhooks AS w ON w.id = given.id
), found AS (
    SELECT found.* FROM (
        SELECT free.* FROM room AS r CROSS JOIN LATERAL (
            SELECT d.id, d.webhook_id, d.event_id, d.next_attempt_at FROM deliveries AS d
            WHERE d.webhook_id = r.id AND {_DUE}
            ORDER BY d.next_attempt_at, d.position LIMIT greatest(r.free, 0) FOR NO KEY UPDATE OF d SKIP LOCKED
        ) AS free WHERE NOT r.ordered
        UNION ALL
        SELECT first.* FROM room AS r CROSS JOIN LATERAL (
            SELECT d.id, d.webhook_id, d.event_id, d.next_attempt_at
            FROM ({_HEADS}) AS head JOIN deliveries AS d ON d.id = head.id WHERE {_DUE}
            FOR NO KEY UPDATE OF d SKIP LOCKED
        ) AS first WHERE r.ordered
    ) AS found ORDER BY found.next_attempt_at LIMIT $3
), read AS (
    SELECT f.id, f.webhook_id, f.next_attempt_at, e.size, EXISTS (
        SELECT FROM user_tombstones AS t WHERE t.user_id = e.user_id AND e.name <> ALL ($8) OFFSET 0
    ) AS erased
    FROM found AS f CROSS JOIN LATERAL (
        SELECT octet_length(body) AS size, user_id, name FROM events WHERE id = f.event_id OFFSET 0
    ) AS e
), dropped AS (
    DELETE FROM deliveries AS d USING read WHERE d.id = read.id AND read.erased
), due AS (
    SELECT read.id, sum(read.size) OVER (ORDER BY read.next_attempt_at, read.id) - read.size AS size_before,
        r.scope = 'own' AND sum(read.size) OVER (
            PARTITION BY r.scope, r.user_id ORDER BY read.next_attempt_at, read.id
        ) - read.size >= $9 AS exceeds_share
    FROM read JOIN room AS r ON r.id = read.webhook_id WHERE NOT read.erased
), claimed AS (
    UPDATE deliveries AS d SET claim = $4, claimed_until = now() + make_interval(secs => $5),
        next_attempt_at = now() + make_interval(secs => $5)
    FROM due WHERE d.id = due.id AND due.size_before < $7 AND NOT due.exceeds_share
    RETURNING d.id, d.webhook_id, d.event_id, d.attempt, d.position, d.partition_key
)
SELECT c.*, e.body, r.url, r.scope = 'own' AS is_own, r.user_id, r.secret, r.ordered,
    CASE WHEN r.previous_secret_until > now() THEN r.previous_secret END AS previous_secret
FROM claimed AS c JOIN room AS r ON r.id = c.webhook_id JOIN events AS e ON e.id = c.event_id
ORDER BY c.position"""  # noqa: S608 - only constants are interpolated
BACKLOG = f"""
{_WAITING}, oldest AS (
    SELECT w.*, extract(epoch FROM now() - head.next_attempt_at) AS age
    FROM waiting CROSS JOIN LATERAL (SELECT * FROM webhooks WHERE id = waiting.id OFFSET 0) AS w CROSS JOIN LATERAL (
        SELECT d.next_attempt_at FROM deliveries AS d WHERE d.webhook_id = w.id AND {_DUE}
        ORDER BY d.next_attempt_at LIMIT 1
    ) AS head WHERE w.status = 'active'
)
SELECT coalesce(max(age), 0) AS age,
    coalesce(max(age) FILTER (WHERE failing_since IS NULL AND NOT ordered), 0) AS healthy_age,
    (SELECT count(*) FROM (
        SELECT FROM oldest CROSS JOIN LATERAL (
            SELECT d.next_attempt_at FROM deliveries AS d WHERE d.webhook_id = oldest.id AND {_DUE}
            ORDER BY d.next_attempt_at LIMIT {MAX_COUNTED}
        ) AS due LIMIT {MAX_COUNTED}
    ) AS counted) AS waiting
FROM oldest"""  # noqa: S608 - only constants are interpolated
