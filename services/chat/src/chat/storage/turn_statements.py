"""SQL statements of turns. Each takes its locks in the order of ``docs/locks.md``.

A statement that finds a turn by its id has ``status || '' = 'running'``. With ``status = 'running'``, Postgres may read
the whole index of the running turns instead of the one row with the id (docs/query-plans.md, rule 11).
"""

from parley.storage.named_parameters import NamedStatement

ADMIT = NamedStatement("""
WITH account AS (
    INSERT INTO accounts AS a (user_id) VALUES (:user_id::uuid)
    ON CONFLICT (user_id) DO UPDATE SET last_turn_at = now() WHERE a.erased_at IS NULL
    RETURNING 1
), key AS (
    -- Returns the row of this request, or the row of an earlier request with the same key.
    INSERT INTO idempotency_keys AS k (user_id, route, key, body_hash, turn_id)
    SELECT :user_id::uuid, :route::text, :key::text, :body_hash::bytea, :turn_id::uuid
    FROM account WHERE :key::text IS NOT NULL
    ON CONFLICT (user_id, route, key) DO UPDATE SET
        body_hash = CASE WHEN k.created_at < now() - interval '24 hours' THEN excluded.body_hash ELSE k.body_hash END,
        turn_id = CASE WHEN k.created_at < now() - interval '24 hours' THEN excluded.turn_id ELSE k.turn_id END,
        created_at = CASE WHEN k.created_at < now() - interval '24 hours' THEN now() ELSE k.created_at END
    RETURNING k.turn_id, k.body_hash
), claim AS (
    SELECT turn_id, body_hash FROM key
    UNION ALL
    SELECT :turn_id::uuid, NULL::bytea FROM account WHERE :key::text IS NULL
), conversation AS (
    INSERT INTO conversations AS c (id, user_id, next_number, system_prompt, adopted, latest_turn_id)
    SELECT :conversation_id::uuid, :user_id::uuid, :first_number::integer + 1, :kept_system_prompt::text,
        :adopted::boolean, :head::uuid
    FROM claim WHERE turn_id = :turn_id AND :conversation_id::uuid IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET
        next_number = c.next_number + 1,
        system_prompt = coalesce(excluded.system_prompt, c.system_prompt)
    WHERE c.user_id = excluded.user_id AND c.deleted_at IS NULL
      AND c.item_deletions = :item_deletions::integer
      AND (NOT :follows_latest::boolean OR c.latest_turn_id IS NOT DISTINCT FROM :parent_id::uuid)
    RETURNING next_number - 1 AS number
), source AS (
    -- Other conversations that the turn has copies of. An account is locked first, so no two turns of a user meet here.
    SELECT c.id FROM unnest(:source_ids::uuid[], :source_deletions::integer[]) AS s (id, item_deletions)
    JOIN conversations AS c ON c.id = s.id AND c.item_deletions = s.item_deletions AND c.deleted_at IS NULL
    WHERE (SELECT count(*) FROM conversation) >= 0
    ORDER BY c.id FOR SHARE OF c
), reserved AS (
    INSERT INTO budgets AS b (user_id, period, reserved_tokens, reserved_cost, token_limit, cost_limit)
    SELECT :user_id::uuid, p.period, :tokens::bigint, :cost::numeric, p.token_limit, p.cost_limit
    FROM claim, (SELECT count(*) FROM source) AS after_sources,
        unnest(:periods::text[], :token_limits::bigint[], :cost_limits::numeric[])
            AS p (period, token_limit, cost_limit)
    WHERE claim.turn_id = :turn_id
    ORDER BY p.period COLLATE "C"
    ON CONFLICT (user_id, period) DO UPDATE SET
        reserved_tokens = b.reserved_tokens + excluded.reserved_tokens,
        reserved_cost = b.reserved_cost + excluded.reserved_cost,
        token_limit = excluded.token_limit,
        cost_limit = excluded.cost_limit
    WHERE (excluded.token_limit IS NULL
           OR b.tokens + b.reserved_tokens + excluded.reserved_tokens <= excluded.token_limit)
      AND (excluded.cost_limit IS NULL
           OR b.cost + b.reserved_cost + excluded.reserved_cost <= excluded.cost_limit)
    RETURNING 1
), turn AS (
    -- A refused turn has no number: NULL fails the statement, so that nothing is stored.
    INSERT INTO turns (
        id, user_id, conversation_id, number, periods, reserved_tokens, reserved_cost,
        parent_id, regenerate, user_message_id, user_message, user_message_at, system_prompt, model, metadata,
        request_id, context, omitted_turns, prompt_tokens, runner_id, deadline_at, created_at, started_at,
        started_event_id, tool_results, continues, response
    )
    SELECT :turn_id::uuid, :user_id::uuid, :conversation_id::uuid,
        CASE WHEN (SELECT count(*) FROM source) < cardinality(:source_ids::uuid[]) THEN NULL
             WHEN :conversation_id::uuid IS NULL THEN 1 ELSE (SELECT number FROM conversation) END,
        CASE WHEN (SELECT count(*) FROM reserved) = cardinality(:periods::text[]) THEN :periods::text[] END,
        :tokens::bigint, :cost::numeric, :parent_id::uuid, :regenerate::uuid, :user_message_id::uuid,
        :user_message::text, :user_message_at::timestamptz, :system_prompt::text, :model::text,
        :metadata::jsonb, :request_id::text, :context::text, :omitted_turns::integer, :prompt_tokens::integer,
        :runner_id::uuid, :deadline_at::timestamptz,
        :created_at::timestamptz, :created_at::timestamptz, :event_id::uuid, :tool_results::jsonb, :continues::boolean,
        :response::jsonb
    FROM claim WHERE turn_id = :turn_id
    RETURNING id, number
), started AS (
    SELECT outbox_append(
        :event_id::uuid, 'conversation.turn.started', :conversation_id::uuid::text,
        :conversation_id::uuid::text,
        :event::jsonb || jsonb_build_object('number', turn.number), :traceparent::text
    ) AS sequence
    FROM turn WHERE :conversation_id::uuid IS NOT NULL
)
SELECT claim.turn_id, claim.body_hash, turn.number, (SELECT max(sequence) FROM started) AS sequence
FROM claim LEFT JOIN turn ON true""")

MOVE_RESERVATION = NamedStatement("""
WITH turn AS (
    SELECT id, user_id, periods, reserved_tokens, reserved_cost FROM turns
    WHERE id = :turn_id::uuid AND epoch = :epoch AND status || '' = 'running' FOR UPDATE
), moved AS (
    -- The difference to what the turn holds already. A period that is left gets all of it back.
    SELECT turn.user_id, p.period, p.token_limit, p.cost_limit,
        coalesce(p.tokens, 0) - CASE WHEN p.period = ANY (turn.periods) THEN turn.reserved_tokens ELSE 0 END AS tokens,
        coalesce(p.cost, 0) - CASE WHEN p.period = ANY (turn.periods) THEN turn.reserved_cost ELSE 0 END AS cost
    FROM turn, LATERAL (
        SELECT period, token_limit, cost_limit, :tokens::bigint AS tokens, :cost::numeric AS cost
        FROM unnest(:periods::text[], :token_limits::bigint[], :cost_limits::numeric[])
            AS n (period, token_limit, cost_limit)
        UNION ALL
        SELECT period, NULL, NULL, 0, 0 FROM unnest(turn.periods) AS o (period) WHERE period <> ALL (:periods::text[])
    ) AS p
), reserved AS (
    INSERT INTO budgets AS b (user_id, period, reserved_tokens, reserved_cost, token_limit, cost_limit)
    SELECT user_id, period, tokens, cost, token_limit, cost_limit FROM moved ORDER BY period COLLATE "C"
    ON CONFLICT (user_id, period) DO UPDATE SET
        reserved_tokens = b.reserved_tokens + excluded.reserved_tokens,
        reserved_cost = b.reserved_cost + excluded.reserved_cost
    WHERE (excluded.token_limit IS NULL
           OR b.tokens + b.reserved_tokens + excluded.reserved_tokens <= excluded.token_limit)
      AND (excluded.cost_limit IS NULL
           OR b.cost + b.reserved_cost + excluded.reserved_cost <= excluded.cost_limit)
    RETURNING 1
)
-- NULL fails the statement, so that nothing is moved.
UPDATE turns AS t SET
    periods = CASE WHEN (SELECT count(*) FROM reserved) = (SELECT count(*) FROM moved) THEN :periods::text[] END,
    reserved_tokens = :tokens::bigint, reserved_cost = :cost::numeric, answering_model = :model::text
FROM turn WHERE t.id = turn.id RETURNING t.id""")

FINISH = NamedStatement("""
WITH key_lock AS MATERIALIZED (
    SELECT turn_id FROM idempotency_keys WHERE turn_id = :turn_id AND :status = 'failed'
    ORDER BY user_id, route, key FOR UPDATE
), conversation_lock AS MATERIALIZED (
    SELECT id FROM conversations WHERE id = :conversation_id AND (SELECT count(*) FROM key_lock) >= 0
    FOR NO KEY UPDATE
), turn AS (
    UPDATE turns AS t SET
        status = :status, finish_reason = :finish_reason, entries = :entries, content = :content, tool_calls =
        :tool_calls, usage = :usage, cost = :cost,
        price_version = :price_version, provider = :provider, provider_model = :provider_model, error = :error,
        finished_at = :finished_at,
        time_to_first_token_ms = :time_to_first_token_ms, log_lost = :log_lost, ended_event_id = :event_id,
        cached = :cached
    FROM (SELECT count(*) AS locked FROM conversation_lock) AS l
    WHERE t.id = :turn_id AND t.epoch = :epoch AND t.status || '' = 'running' AND l.locked >= 0
    RETURNING t.*
), conversation AS (
    UPDATE conversations AS c SET latest_turn_id = turn.id FROM turn
    WHERE c.id = turn.conversation_id AND :has_output
    RETURNING c.id
), budget_lock AS MATERIALIZED (
    SELECT b.period FROM turn, (SELECT count(*) FROM conversation) AS after_conversation, budgets AS b
    WHERE b.user_id = turn.user_id AND b.period = ANY (turn.periods)
    ORDER BY b.period COLLATE "C" FOR NO KEY UPDATE OF b
), settled AS (
    UPDATE budgets AS b SET
        reserved_tokens = b.reserved_tokens - turn.reserved_tokens,
        reserved_cost = b.reserved_cost - turn.reserved_cost,
        tokens = b.tokens + coalesce((:usage::jsonb ->> 'total_tokens')::bigint, 0),
        cost = b.cost + coalesce(:cost, 0)
    FROM turn, (SELECT count(*) FROM budget_lock) AS after_lock
    WHERE b.user_id = turn.user_id AND b.period = ANY (turn.periods)
    RETURNING b.period
), freed AS (
    DELETE FROM idempotency_keys AS k USING turn WHERE k.turn_id = turn.id AND :status = 'failed' RETURNING
    k.key
), ended AS (
    SELECT outbox_append(:event_id, :event_name, :partition_key, :partition_key, :event, :traceparent) AS
    sequence
    FROM turn, (SELECT count(*) FROM settled) AS after_settled
)
SELECT turn.cost, turn.answering_model, turn.cancel_requested_at, (SELECT max(sequence) FROM ended) AS sequence
FROM turn""")

GET = """
SELECT t.* FROM turns AS t LEFT JOIN conversations AS c ON c.id = t.conversation_id
WHERE t.id = $1 AND c.deleted_at IS NULL"""

CLAIM_CONVERSATION = """
WITH account AS (
    INSERT INTO accounts AS a (user_id) VALUES ($2)
    ON CONFLICT (user_id) DO UPDATE SET last_turn_at = a.last_turn_at WHERE a.erased_at IS NULL
    RETURNING 1
)
INSERT INTO conversations (id, user_id) SELECT $1, $2 FROM account ON CONFLICT (id) DO NOTHING"""

CONVERSATION = """
SELECT c.*, (SELECT t.id FROM turns AS t WHERE t.conversation_id = c.id AND t.status = 'running') AS running_turn_id,
    (SELECT t.started_at FROM turns AS t WHERE t.conversation_id = c.id
     ORDER BY t.number DESC LIMIT 1) AS newest_turn_at
FROM conversations AS c WHERE c.id = $1"""

CLAIM_KEY = """
WITH account AS (
    INSERT INTO accounts AS a (user_id) VALUES ($1)
    ON CONFLICT (user_id) DO UPDATE SET last_turn_at = a.last_turn_at WHERE a.erased_at IS NULL
    RETURNING 1
)
INSERT INTO idempotency_keys AS k (user_id, route, key, body_hash, turn_id)
SELECT $1, $2, $3, $4, $5 FROM account
ON CONFLICT (user_id, route, key) DO UPDATE SET
    body_hash = CASE WHEN k.created_at < now() - interval '24 hours' THEN excluded.body_hash ELSE k.body_hash END,
    turn_id = CASE WHEN k.created_at < now() - interval '24 hours' THEN excluded.turn_id ELSE k.turn_id END,
    created_at = CASE WHEN k.created_at < now() - interval '24 hours' THEN now() ELSE k.created_at END
RETURNING turn_id, body_hash"""

FIND_KEY = """
SELECT turn_id, body_hash FROM idempotency_keys
WHERE user_id = $1 AND route = $2 AND key = $3 AND created_at >= now() - interval '24 hours'"""

_LENGTH = """
length(t.user_message) + length(coalesce(t.content, '')) + coalesce(length(t.tool_calls::text), 0)
        + (SELECT coalesce(sum(length(r ->> 'content')), 0)::integer FROM jsonb_array_elements(t.tool_results) AS r)
        + coalesce(length((t.response -> 'input')::text), 0)
        - (SELECT coalesce(sum(length(i #>> '{}')), 0)::integer * 3 / 4
           FROM jsonb_path_query(t.response -> 'input', '$[*].content[*].image_url') AS i)"""
"""What an exchange counts as its length. The input and the calls count with their JSON, and the data of an image as a
quarter: it has few tokens, but a prompt of many images is large."""
# Nothing of a row is read that is not counted: a request may repeat instructions and tools of 1 MiB.
_READ_MEMBERS = """
(SELECT jsonb_object_agg(key, value) FROM jsonb_each(t.response)
 WHERE key IN ('input', 'deleted_calls', 'deleted_messages'))"""

CHAIN = f"""
WITH RECURSIVE chain AS (
    SELECT t.id, t.parent_id, 1 AS depth, {_LENGTH} AS characters
    FROM LATERAL (SELECT * FROM turns WHERE id = $2 OFFSET 0) AS t
    WHERE t.conversation_id = $1 AND t.status <> 'running'
    UNION ALL
    SELECT t.id, t.parent_id, c.depth + 1, c.characters + {_LENGTH}
    FROM chain AS c CROSS JOIN LATERAL (SELECT * FROM turns WHERE id = c.parent_id OFFSET 0) AS t
    WHERE c.depth < $4 AND c.characters < $3 AND t.conversation_id = $1
)
SELECT t.id, t.parent_id, t.user_message, t.content, t.tool_calls, t.tool_results, t.continues, t.finish_reason,
    {_READ_MEMBERS} AS response, c.characters - lag(c.characters, 1, 0) OVER (ORDER BY c.depth) AS length
FROM chain AS c CROSS JOIN LATERAL (SELECT * FROM turns WHERE id = c.id OFFSET 0) AS t ORDER BY c.depth"""  # noqa: S608 - only a constant is interpolated

REQUEST_CANCEL = """
UPDATE turns SET cancel_requested_at = coalesce(cancel_requested_at, now())
WHERE id = $1 AND status || '' = 'running'"""

HIDE_RESPONSE = """
UPDATE turns SET response = coalesce(response, '{}') || '{"deleted": true}' WHERE id = $1"""

ERASED = "SELECT erased_at IS NOT NULL FROM accounts WHERE user_id = $1"
