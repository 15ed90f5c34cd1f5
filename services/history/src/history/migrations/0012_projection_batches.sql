-- Events of turns, stored as a batch: the rows are those that project_turn stores for one event after the other. Where an
-- event needs the rows of an earlier one, as the second event of a turn does, the service puts it into a later round. Each
-- statement stores all events of a round, or of the batch. Generic plans: arrays have no statistics, and planning costs more.

CREATE TYPE turn_event AS (
    n integer, round integer, event_id uuid, name text, source text, time timestamptz, partition_key text, sequence bigint,
    trace text, turn_id uuid, user_id uuid, conversation_id uuid, number integer, auto_title text,
    question_words text, question_bigrams text[], answer_words text, answer_bigrams text[], created_id uuid, data jsonb
);
COMMENT ON COLUMN turn_event.n IS 'The position in the batch, in the order of arrival.';
COMMENT ON COLUMN turn_event.conversation_id IS 'NULL where only the usage of the turn is stored.';

CREATE TYPE projected_event AS (
    n integer, outcome text, first_seen boolean, created boolean, repaired boolean, added bigint, tokens bigint, cost numeric
);
COMMENT ON COLUMN projected_event.repaired IS 'An ended turn whose messages are new again: what was lost before is not known.';

-- The messages of a round, each once. Results of tool calls are a chain below the question or the answer that is continued.
CREATE FUNCTION messages_of(events turn_event[]) RETURNS TABLE (
    id uuid, conversation_id uuid, user_id uuid, turn_id uuid, number integer, parent_id uuid, role text, content text,
    tool_calls jsonb, status text, system_prompt text, created_at timestamptz, search tsvector, tool_call_id text
) LANGUAGE sql STABLE AS $$
    WITH event AS (
        SELECT e.n, e.turn_id, e.user_id, e.conversation_id, e.number, e.question_words, e.question_bigrams, e.answer_words,
            e.answer_bigrams, e.data, nullif(e.data->'user_message', 'null') AS question,
            coalesce((e.data->>'continues')::boolean, false) AS continues, nullif(e.data->'tool_results', 'null') AS results
        FROM unnest(events) AS e WHERE e.conversation_id IS NOT NULL
    ), question AS (
        -- Regenerations share the question: it belongs to the earliest of them.
        SELECT DISTINCT ON ((e.question->>'id')::uuid) (e.question->>'id')::uuid AS id, e.*
        FROM event AS e WHERE e.question IS NOT NULL AND NOT e.continues
        ORDER BY (e.question->>'id')::uuid, e.number, e.n
    ), result AS (
        SELECT DISTINCT ON ((r.value->>'id')::uuid) (r.value->>'id')::uuid AS id, e.*, r.value AS result,
            CASE WHEN r.ordinality > 1 THEN (e.results->(r.ordinality - 2)::integer->>'id')::uuid
                 WHEN e.continues THEN (e.data->>'parent_id')::uuid ELSE (e.question->>'id')::uuid END AS parent_id
        FROM event AS e CROSS JOIN LATERAL jsonb_array_elements(e.results) WITH ORDINALITY AS r (value, ordinality)
        ORDER BY (r.value->>'id')::uuid, e.number, e.n, r.ordinality
    )
    SELECT q.id, q.conversation_id, q.user_id, q.turn_id, q.number, (q.data->>'parent_id')::uuid, 'user',
        q.question->>'content', NULL::jsonb, 'completed', NULL, (q.question->>'created_at')::timestamptz,
        CASE WHEN q.question_bigrams IS NOT NULL THEN search_terms(q.user_id, q.question_words, q.question_bigrams) END, NULL
    FROM question AS q
    UNION ALL
    SELECT r.id, r.conversation_id, r.user_id, r.turn_id, r.number, r.parent_id, 'tool', r.result->>'content', NULL,
        'completed', NULL, (r.result->>'created_at')::timestamptz, NULL, r.result->>'tool_call_id'
    FROM result AS r
    UNION ALL
    SELECT e.turn_id, e.conversation_id, e.user_id, e.turn_id, e.number,
        coalesce(e.results->-1->>'id', e.question->>'id')::uuid, 'assistant', coalesce(e.data#>>'{message,content}', ''),
        nullif(e.data#>'{message,tool_calls}', 'null'), coalesce(e.data->>'status', 'running'), e.data->>'system_prompt',
        coalesce(e.data#>>'{message,created_at}', e.data->>'finished_at', e.data->>'started_at')::timestamptz,
        CASE WHEN e.data ? 'status' AND e.answer_bigrams IS NOT NULL
             THEN search_terms(e.user_id, e.answer_words, e.answer_bigrams) END, NULL
    FROM event AS e
$$;

-- Stores the messages of a round. Gives back the turns of those that changed, and how many of them are new. The service
-- gives no bigrams where their terms go into the search index of their own.
CREATE FUNCTION store_round_messages(events turn_event[]) RETURNS TABLE (turn_id uuid, added bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    ids uuid[];
    roles text[];
    turn_ids uuid[];
    fresh boolean[];
    indexed uuid[];
    terms text[];
BEGIN
    WITH stored AS (
        INSERT INTO messages AS m (
            id, conversation_id, user_id, turn_id, number, parent_id, role, content, tool_calls, status, system_prompt,
            created_at, search, tool_call_id
        )
        SELECT * FROM messages_of(events) AS new ORDER BY new.id
        ON CONFLICT (id) DO UPDATE SET
            turn_id = EXCLUDED.turn_id, number = EXCLUDED.number, tool_calls = EXCLUDED.tool_calls, status = EXCLUDED.status,
            parent_id = CASE EXCLUDED.role WHEN 'user' THEN EXCLUDED.parent_id WHEN 'tool' THEN m.parent_id
                ELSE coalesce(EXCLUDED.parent_id, m.parent_id) END,
            content = CASE EXCLUDED.role WHEN 'tool' THEN m.content ELSE EXCLUDED.content END,
            system_prompt = EXCLUDED.system_prompt,
            created_at = CASE EXCLUDED.role WHEN 'tool' THEN m.created_at ELSE EXCLUDED.created_at END,
            search = EXCLUDED.search
        WHERE m.conversation_id = EXCLUDED.conversation_id AND CASE EXCLUDED.role
            WHEN 'user' THEN EXCLUDED.number < m.number OR EXCLUDED.number = m.number
                AND (m.turn_id, m.parent_id, m.content, m.created_at)
                    IS DISTINCT FROM (EXCLUDED.turn_id, EXCLUDED.parent_id, EXCLUDED.content, EXCLUDED.created_at)
            WHEN 'tool' THEN EXCLUDED.number < m.number
            ELSE EXCLUDED.status <> 'running' AND (m.parent_id, m.content, m.tool_calls, m.status, m.system_prompt, m.created_at)
                IS DISTINCT FROM (coalesce(EXCLUDED.parent_id, m.parent_id), EXCLUDED.content, EXCLUDED.tool_calls,
                    EXCLUDED.status, EXCLUDED.system_prompt, EXCLUDED.created_at) END
        RETURNING m.id, m.role, m.turn_id, m.xmax = 0 AS fresh
    )
    SELECT array_agg(s.id), array_agg(s.role), array_agg(s.turn_id), array_agg(s.fresh) INTO ids, roles, turn_ids, fresh
    FROM stored AS s;

    SELECT array_agg(s.id), array_agg(s.terms) INTO indexed, terms FROM (
        SELECT m.id, CASE m.role WHEN 'user' THEN e.question_words ELSE e.answer_words END AS terms
        FROM unnest(ids, roles, turn_ids) AS m (id, role, turn_id) JOIN unnest(events) AS e ON e.turn_id = m.turn_id
        WHERE e.question_bigrams IS NULL AND (m.role = 'user' OR m.role = 'assistant' AND e.data ? 'status')
    ) AS s;
    IF indexed IS NOT NULL THEN
        PERFORM index_messages(indexed, terms);
    END IF;

    RETURN QUERY
    SELECT m.turn_id, count(*) FILTER (WHERE m.fresh) FROM unnest(turn_ids, roles, fresh) AS m (turn_id, role, fresh)
    WHERE m.fresh OR m.role <> 'tool' GROUP BY m.turn_id;
END
$$;

-- Stores the turns of a round. Gives back those that changed. A start never replaces an end.
CREATE FUNCTION store_round_turns(events turn_event[]) RETURNS TABLE (id uuid, total_tokens integer, cost numeric)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    INSERT INTO turns AS t
    SELECT e.turn_id, e.user_id, (e.data->>'conversation_id')::uuid, e.number, (e.data->>'stored')::boolean,
        coalesce(e.data->>'status', 'running'), e.data->>'finish_reason', e.data->>'model', e.data->>'provider',
        e.data->>'provider_model', u.prompt_tokens, u.completion_tokens, u.total_tokens, u.cached_tokens, u.reasoning_tokens,
        u.estimated, (e.data->>'cost')::numeric, e.data->>'price_version', coalesce((e.data->>'cached')::boolean, false),
        nullif(e.data->'error', 'null'), coalesce(nullif(e.data->'metadata', 'null'), '{}'), e.data->>'request_id',
        (e.data->>'started_at')::timestamptz, (e.data->>'finished_at')::timestamptz,
        (e.data->>'time_to_first_token_ms')::integer
    FROM unnest(events) AS e LEFT JOIN LATERAL jsonb_to_record(nullif(e.data->'usage', 'null')) AS u (
        prompt_tokens integer, completion_tokens integer, total_tokens integer, cached_tokens integer,
        reasoning_tokens integer, estimated boolean
    ) ON true
    ORDER BY e.turn_id
    ON CONFLICT (id) DO UPDATE SET
        status = EXCLUDED.status, finish_reason = EXCLUDED.finish_reason, model = EXCLUDED.model,
        provider = EXCLUDED.provider, provider_model = EXCLUDED.provider_model,
        prompt_tokens = EXCLUDED.prompt_tokens, completion_tokens = EXCLUDED.completion_tokens,
        total_tokens = EXCLUDED.total_tokens, cached_tokens = EXCLUDED.cached_tokens,
        reasoning_tokens = EXCLUDED.reasoning_tokens, estimated = EXCLUDED.estimated, cost = EXCLUDED.cost,
        price_version = EXCLUDED.price_version, cached = EXCLUDED.cached, error = EXCLUDED.error,
        metadata = EXCLUDED.metadata, request_id = EXCLUDED.request_id, started_at = EXCLUDED.started_at,
        finished_at = EXCLUDED.finished_at, time_to_first_token_ms = EXCLUDED.time_to_first_token_ms
    WHERE EXCLUDED.status <> 'running' AND t.* IS DISTINCT FROM EXCLUDED.*
    RETURNING t.id, t.total_tokens, t.cost;
END
$$;

-- Stores a round: no two of its events are of one turn. Events of somebody else's turn or conversation are not given back.
CREATE FUNCTION project_round(events turn_event[]) RETURNS SETOF projected_event
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    befores turns[];
    first_seen uuid[];
    created uuid[];
BEGIN
    SELECT array_agg(e ORDER BY e.n), array_agg(b.turn ORDER BY e.n) INTO events, befores
    FROM unnest(events) AS e
    LEFT JOIN LATERAL (SELECT t AS turn, t.user_id FROM turns AS t WHERE t.id = e.turn_id OFFSET 0) AS b ON true
    LEFT JOIN LATERAL (
        SELECT c.user_id FROM conversations AS c WHERE c.id = (e.data->>'conversation_id')::uuid OFFSET 0
    ) AS c ON true
    WHERE coalesce(b.user_id, e.user_id) = e.user_id AND coalesce(c.user_id, e.user_id) = e.user_id;

    WITH seen AS (
        INSERT INTO inbox (event_id, name) SELECT e.event_id, e.name FROM unnest(events) AS e ORDER BY e.event_id
        ON CONFLICT DO NOTHING RETURNING event_id
    )
    SELECT array_agg(event_id) INTO first_seen FROM seen;

    WITH new AS (
        INSERT INTO conversations (id, user_id, created_at, updated_at, version)
        SELECT DISTINCT ON (e.conversation_id) e.conversation_id, e.user_id,
            coalesce(e.data#>>'{user_message,created_at}', e.data->>'finished_at', e.data->>'started_at')::timestamptz,
            coalesce(e.data->>'finished_at', e.data->>'started_at')::timestamptz, 0
        FROM unnest(events) AS e WHERE e.conversation_id IS NOT NULL
        ORDER BY e.conversation_id, e.n ON CONFLICT DO NOTHING RETURNING id
    )
    SELECT array_agg(id) INTO created FROM new;

    RETURN QUERY
    SELECT e.n,
        CASE WHEN e.conversation_id IS NULL THEN CASE WHEN t.id IS NULL THEN 'unchanged' ELSE 'usage' END
             WHEN m.turn_id IS NULL AND t.id IS NULL THEN 'unchanged' ELSE 'stored' END,
        e.event_id = ANY(first_seen),
        e.conversation_id = ANY(created) AND e.n = min(e.n) OVER (PARTITION BY e.conversation_id),
        b.status <> 'running', coalesce(m.added, 0),
        CASE WHEN t.id IS NULL THEN 0 ELSE coalesce(t.total_tokens, 0) - coalesce(b.total_tokens, 0) END::bigint,
        CASE WHEN t.id IS NULL THEN b.cost - b.cost
             WHEN coalesce(t.cost, b.cost) IS NOT NULL THEN coalesce(t.cost, 0) - coalesce(b.cost, 0) END
    FROM unnest(events) WITH ORDINALITY AS e
    LEFT JOIN unnest(befores) WITH ORDINALITY AS b ON b.ordinality = e.ordinality
    LEFT JOIN store_round_turns(events) AS t ON t.id = e.turn_id
    LEFT JOIN store_round_messages(events) AS m ON m.turn_id = e.turn_id;
END
$$;

-- Changes the conversations of the stored events by what these tell: sums by the difference, and what is latest by number.
CREATE FUNCTION update_conversations(events turn_event[], results projected_event[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    UPDATE conversations AS c SET
        message_count = CASE WHEN s.repaired THEN (SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id)
                             ELSE c.message_count + s.added END,
        tokens_used = c.tokens_used + s.tokens,
        cost = CASE WHEN s.cost IS NULL THEN c.cost ELSE coalesce(c.cost, 0) + s.cost END,
        title = CASE WHEN c.title_source = 'auto' AND s.title_number < coalesce(c.title_number, 2147483647)
                     THEN s.title ELSE c.title END,
        title_number = least(c.title_number, s.title_number),
        model = CASE WHEN s.number >= c.last_number THEN s.model ELSE c.model END,
        last_turn_id = CASE WHEN s.number >= c.last_number THEN s.turn_id ELSE c.last_turn_id END,
        last_number = greatest(c.last_number, s.number),
        created_at = least(c.created_at, s.began),
        updated_at = greatest(c.updated_at, s.happened),
        last_message_at = greatest(c.last_message_at, s.said),
        version = c.version + s.changes
    FROM (
        SELECT e.conversation_id, coalesce(bool_or(r.repaired), false) AS repaired, sum(r.added) AS added,
            sum(r.tokens) AS tokens, sum(r.cost) AS cost, count(*) AS changes,
            min(e.number) FILTER (WHERE e.auto_title IS NOT NULL) AS title_number,
            (array_agg(e.auto_title ORDER BY e.number, e.n) FILTER (WHERE e.auto_title IS NOT NULL))[1] AS title,
            max(e.number) AS number, (array_agg(e.data->>'model' ORDER BY e.number DESC, e.n DESC))[1] AS model,
            (array_agg(e.turn_id ORDER BY e.number DESC, e.n DESC))[1] AS turn_id,
            min((e.data#>>'{user_message,created_at}')::timestamptz) AS began,
            max(coalesce(e.data->>'finished_at', e.data->>'started_at')::timestamptz) AS happened,
            max(greatest((e.data#>>'{user_message,created_at}')::timestamptz,
                         (e.data#>>'{message,created_at}')::timestamptz)) AS said
        FROM unnest(events) AS e JOIN unnest(results) AS r ON r.n = e.n
        WHERE r.outcome = 'stored' GROUP BY e.conversation_id
    ) AS s
    WHERE c.id = s.conversation_id;
END
$$;

-- Puts the stored events into the feeds of their people in the order of arrival, with conversation.created before the first.
CREATE FUNCTION feed_events(events turn_event[], results projected_event[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM outbox_append(
        new.created_id, 'conversation.created', new.key, new.key,
        jsonb_build_object(
            'conversation_id', new.key, 'user_id', new.user_id, 'origin', 'chat', 'title', new.auto_title, 'metadata', '{}'::jsonb,
            'created_at', coalesce(nullif(new.data->'user_message', 'null')->'created_at', new.data->'started_at')
        )
    )
    FROM (
        SELECT e.*, e.conversation_id::text AS key FROM unnest(events) AS e JOIN unnest(results) AS r ON r.n = e.n
        WHERE r.created ORDER BY e.conversation_id::text
    ) AS new;
    WITH entry AS (
        SELECT e.user_id, e.n, 0 AS place, e.conversation_id, o.id, '/services/history' AS source, o.name, o.version,
            o.subject, o.time, o.partition_key, o.sequence, o.traceparent, o.data
        FROM unnest(events) AS e JOIN unnest(results) AS r ON r.n = e.n AND r.created
        CROSS JOIN LATERAL (SELECT * FROM outbox WHERE outbox.id = e.created_id OFFSET 0) AS o
        UNION ALL
        SELECT e.user_id, e.n, 1, e.conversation_id, e.event_id, e.source, e.name, 1, e.conversation_id::text, e.time,
            e.partition_key, e.sequence, e.trace, e.data
        FROM unnest(events) AS e JOIN unnest(results) AS r ON r.n = e.n
        WHERE r.outcome = 'stored' AND r.first_seen
    ), head AS (
        INSERT INTO feed_heads AS h (user_id, position)
        SELECT e.user_id, count(*) AS entries FROM entry AS e GROUP BY e.user_id ORDER BY e.user_id
        ON CONFLICT (user_id) DO UPDATE SET position = h.position + EXCLUDED.position RETURNING h.user_id, h.position
    )
    INSERT INTO feed (user_id, position, conversation_id, event_id, source, name, version, subject, time, partition_key,
        sequence, traceparent, data)
    SELECT e.user_id, head.position + 1 - row_number() OVER (PARTITION BY e.user_id ORDER BY e.n DESC, e.place DESC),
        e.conversation_id, e.id, e.source, e.name, e.version, e.subject, e.time, e.partition_key, e.sequence, e.traceparent, e.data
    FROM entry AS e JOIN head ON head.user_id = e.user_id;
END
$$;

-- Returns what became of each event: stored, unchanged, usage (no text is kept), deleted or erased (nothing is), foreign (a
-- turn or conversation of somebody else), or busy: somebody else writes for this person, and the caller does not wait.
CREATE FUNCTION project_turns(batch jsonb, wait boolean) RETURNS TABLE (n integer, outcome text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    events turn_event[];
    results projected_event[];
    locked uuid[];
    erased uuid[];
    deleted uuid[];
    this_round integer;
BEGIN
    SELECT array_agg(e ORDER BY e.n) INTO events FROM jsonb_populate_recordset(NULL::turn_event, batch) AS e;
    locked := ARRAY(SELECT DISTINCT e.user_id FROM unnest(events) AS e);
    IF wait THEN
        -- In the order of the keys of the locks, so that two processes never wait for each other.
        PERFORM lock_person(p.id) FROM (
            SELECT u.id FROM unnest(locked) AS u (id) ORDER BY hashtextextended(u.id::text, 0)
        ) AS p;
    ELSE
        locked := ARRAY(
            SELECT u.id FROM unnest(locked) AS u (id) WHERE pg_try_advisory_xact_lock(hashtextextended(u.id::text, 0)));
    END IF;
    erased := ARRAY(SELECT u.user_id FROM user_tombstones AS u WHERE u.user_id = ANY(locked));
    deleted := ARRAY(
        SELECT d.conversation_id FROM conversation_tombstones AS d
        WHERE d.conversation_id = ANY(ARRAY(SELECT e.conversation_id FROM unnest(events) AS e)));

    INSERT INTO inbox (event_id, name, dropped_turn_id)
    SELECT DISTINCT ON (e.event_id) e.event_id, e.name, CASE WHEN e.data ? 'status' THEN e.turn_id END
    FROM unnest(events) AS e WHERE e.user_id = ANY(erased) ORDER BY e.event_id
    ON CONFLICT (event_id) DO UPDATE SET dropped_turn_id = EXCLUDED.dropped_turn_id WHERE EXCLUDED.dropped_turn_id IS NOT NULL;

    SELECT array_agg(ROW(
        e.n, e.round, e.event_id, e.name, e.source, e.time, e.partition_key, e.sequence, e.trace, e.turn_id, e.user_id,
        CASE WHEN e.conversation_id = ANY(deleted) THEN NULL ELSE e.conversation_id END, e.number, e.auto_title,
        e.question_words, e.question_bigrams, e.answer_words, e.answer_bigrams, e.created_id, e.data
    )::turn_event ORDER BY e.n) INTO events
    FROM unnest(events) AS e WHERE e.user_id = ANY(locked) AND NOT e.user_id = ANY(erased);
    FOR this_round IN SELECT DISTINCT e.round FROM unnest(events) AS e ORDER BY 1 LOOP
        results := results || ARRAY(
            SELECT p FROM project_round(ARRAY(SELECT e FROM unnest(events) AS e WHERE e.round = this_round)) AS p);
    END LOOP;
    IF EXISTS (SELECT FROM unnest(results) AS r WHERE r.outcome = 'stored') THEN
        PERFORM update_conversations(events, results);
        PERFORM feed_events(events, results);
    END IF;
    RETURN QUERY
    SELECT e.n, CASE WHEN NOT e.user_id = ANY(locked) THEN 'busy'
                     WHEN e.user_id = ANY(erased) THEN 'erased'
                     WHEN r.n IS NULL THEN 'foreign'
                     WHEN e.conversation_id = ANY(deleted) THEN 'deleted' ELSE r.outcome END
    FROM jsonb_to_recordset(batch) AS e (n integer, user_id uuid, conversation_id uuid)
    LEFT JOIN unnest(results) AS r ON r.n = e.n;
END
$$;
