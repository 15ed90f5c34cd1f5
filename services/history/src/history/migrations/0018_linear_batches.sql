-- Batches of any size: the time for a batch is proportional to its events. Both sides of these joins are arrays of the batch,
-- and one side has the rows of the other. The planner expects a few rows of an array and would compare each row with each:
-- a full join has no such plan.

CREATE OR REPLACE FUNCTION store_round_messages(events turn_event[]) RETURNS TABLE (turn_id uuid, added bigint)
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
            created_at, search, tool_call_id, hidden, revision
        )
        SELECT * FROM projected_messages(events) AS new ORDER BY new.id
        ON CONFLICT (id) DO UPDATE SET
            turn_id = EXCLUDED.turn_id, number = EXCLUDED.number, tool_calls = EXCLUDED.tool_calls, status = EXCLUDED.status,
            parent_id = CASE EXCLUDED.role WHEN 'user' THEN EXCLUDED.parent_id WHEN 'tool' THEN m.parent_id
                ELSE coalesce(EXCLUDED.parent_id, m.parent_id) END,
            content = CASE WHEN EXCLUDED.role = 'tool' AND EXCLUDED.revision = m.revision THEN m.content
                ELSE EXCLUDED.content END,
            system_prompt = EXCLUDED.system_prompt,
            created_at = CASE EXCLUDED.role WHEN 'tool' THEN m.created_at ELSE EXCLUDED.created_at END,
            search = EXCLUDED.search, hidden = EXCLUDED.hidden, revision = EXCLUDED.revision
        WHERE m.conversation_id = EXCLUDED.conversation_id AND EXCLUDED.revision >= m.revision AND CASE EXCLUDED.role
            WHEN 'user' THEN EXCLUDED.number < m.number OR EXCLUDED.number = m.number
                AND (m.turn_id, m.parent_id, m.content, m.created_at)
                    IS DISTINCT FROM (EXCLUDED.turn_id, EXCLUDED.parent_id, EXCLUDED.content, EXCLUDED.created_at)
                OR EXCLUDED.number = m.number AND EXCLUDED.revision > m.revision
            WHEN 'tool' THEN EXCLUDED.number < m.number OR EXCLUDED.number = m.number AND EXCLUDED.revision > m.revision
            ELSE EXCLUDED.status <> 'running'
                AND (m.revision, m.parent_id, m.content, m.tool_calls, m.status, m.system_prompt, m.created_at)
                IS DISTINCT FROM (EXCLUDED.revision, coalesce(EXCLUDED.parent_id, m.parent_id), EXCLUDED.content,
                    EXCLUDED.tool_calls, EXCLUDED.status, EXCLUDED.system_prompt, EXCLUDED.created_at) END
        RETURNING m.id, m.role, m.turn_id, m.xmax = 0 AND NOT m.hidden AS fresh
    )
    SELECT array_agg(s.id), array_agg(s.role), array_agg(s.turn_id), array_agg(s.fresh) INTO ids, roles, turn_ids, fresh
    FROM stored AS s;

    SELECT array_agg(s.id), array_agg(s.terms) INTO indexed, terms FROM (
        SELECT m.id, m.role, e.question_bigrams, e.data ? 'status' AS is_end,
            CASE m.role WHEN 'user' THEN e.question_words ELSE e.answer_words END AS terms
        FROM unnest(ids, roles, turn_ids) AS m (id, role, turn_id)
        FULL JOIN unnest(events) AS e ON e.turn_id = m.turn_id OFFSET 0
    ) AS s
    WHERE s.question_bigrams IS NULL AND (s.role = 'user' OR s.role = 'assistant' AND s.is_end);
    IF indexed IS NOT NULL THEN
        PERFORM index_messages(indexed, terms);
    END IF;

    RETURN QUERY
    SELECT m.turn_id, count(*) FILTER (WHERE m.fresh) FROM unnest(turn_ids, roles, fresh) AS m (turn_id, role, fresh)
    WHERE m.fresh OR m.role <> 'tool' GROUP BY m.turn_id;
END
$$;

CREATE OR REPLACE FUNCTION project_round(events turn_event[]) RETURNS SETOF projected_event
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
    FULL JOIN unnest(befores) WITH ORDINALITY AS b ON b.ordinality = e.ordinality
    FULL JOIN store_round_turns(events) AS t ON t.id = e.turn_id
    FULL JOIN store_round_messages(events) AS m ON m.turn_id = e.turn_id;
END
$$;

CREATE OR REPLACE FUNCTION update_conversations(events turn_event[], results projected_event[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    UPDATE conversations AS c SET
        message_count = CASE WHEN s.repaired THEN (
                                 SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id AND NOT m.hidden)
                             ELSE c.message_count + s.added END,
        tokens_used = c.tokens_used + s.tokens,
        cost = CASE WHEN s.cost IS NULL THEN c.cost ELSE coalesce(c.cost, 0) + s.cost END,
        title = CASE WHEN c.title_source = 'auto' AND s.title_number <= coalesce(c.title_number, 2147483647)
                     THEN s.title WHEN c.title_source = 'auto' AND c.title_number = ANY(s.untitled) THEN NULL ELSE c.title END,
        title_number = CASE WHEN c.title_number = ANY(s.untitled) THEN s.title_number
                            ELSE least(c.title_number, s.title_number) END,
        model = CASE WHEN s.number >= c.last_number THEN coalesce(s.model, c.model) ELSE c.model END,
        last_turn_id = CASE WHEN s.number >= c.last_number THEN s.turn_id ELSE c.last_turn_id END,
        last_number = greatest(c.last_number, s.number),
        created_at = least(c.created_at, s.began),
        updated_at = greatest(c.updated_at, s.happened),
        last_message_at = greatest(c.last_message_at, s.said),
        version = c.version + s.changes
    FROM (
        SELECT e.conversation_id, coalesce(bool_or(e.repaired), false) AS repaired, sum(e.added) AS added,
            sum(e.tokens) AS tokens, sum(e.cost) AS cost, count(*) AS changes,
            min(e.number) FILTER (WHERE e.auto_title IS NOT NULL) AS title_number,
            (array_agg(e.auto_title ORDER BY e.number, e.n) FILTER (WHERE e.auto_title IS NOT NULL))[1] AS title,
            max(e.number) AS number, (array_agg(e.data->>'model' ORDER BY e.number DESC, e.n DESC)
                FILTER (WHERE e.data->>'finish_reason' IS DISTINCT FROM 'inserted'))[1] AS model,
            array_agg(e.number) FILTER (WHERE e.data->'deleted_message_ids' ? (e.data#>>'{user_message,id}')) AS untitled,
            (array_agg(e.turn_id ORDER BY e.number DESC, e.n DESC))[1] AS turn_id,
            min((e.data#>>'{user_message,created_at}')::timestamptz) AS began,
            max(coalesce(e.data->>'finished_at', e.data->>'started_at')::timestamptz) AS happened,
            max(greatest((e.data#>>'{user_message,created_at}')::timestamptz,
                         (e.data#>>'{message,created_at}')::timestamptz)) AS said
        FROM (
            SELECT e.n, e.turn_id, e.conversation_id, e.number, e.auto_title, e.data,
                r.outcome, r.repaired, r.added, r.tokens, r.cost
            FROM unnest(events) AS e FULL JOIN unnest(results) AS r ON r.n = e.n OFFSET 0
        ) AS e
        WHERE e.outcome = 'stored' GROUP BY e.conversation_id
    ) AS s
    WHERE c.id = s.conversation_id;
END
$$;

CREATE OR REPLACE FUNCTION feed_events(events turn_event[], results projected_event[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    creating integer[] := ARRAY(SELECT r.n FROM unnest(results) AS r WHERE r.created);
    told integer[] := ARRAY(SELECT r.n FROM unnest(results) AS r WHERE r.outcome = 'stored' AND r.first_seen);
BEGIN
    PERFORM outbox_append(
        new.created_id, 'conversation.created', new.key, new.key,
        jsonb_build_object(
            'conversation_id', new.key, 'user_id', new.user_id, 'origin', 'chat', 'title', new.auto_title, 'metadata', '{}'::jsonb,
            'created_at', coalesce(nullif(new.data->'user_message', 'null')->'created_at', new.data->'started_at')
        )
    )
    FROM (
        SELECT e.created_id, e.user_id, e.auto_title, e.data, e.conversation_id::text AS key
        FROM unnest(events) AS e WHERE e.n = ANY(creating) ORDER BY e.conversation_id::text
    ) AS new;
    WITH entry AS (
        SELECT e.user_id, e.n, 0 AS place, e.conversation_id, o.id, '/services/history' AS source, o.name, o.version,
            o.subject, o.time, o.partition_key, o.sequence, o.traceparent, o.data
        FROM unnest(events) AS e
        CROSS JOIN LATERAL (SELECT * FROM outbox WHERE outbox.id = e.created_id OFFSET 0) AS o
        WHERE e.n = ANY(creating)
        UNION ALL
        SELECT e.user_id, e.n, 1, e.conversation_id, e.event_id, e.source, e.name, 1, e.conversation_id::text, e.time,
            e.partition_key, e.sequence, e.trace, e.data
        FROM unnest(events) AS e WHERE e.n = ANY(told)
    ), head AS (
        INSERT INTO feed_heads AS h (user_id, position)
        SELECT e.user_id, count(*) AS entries FROM entry AS e GROUP BY e.user_id ORDER BY e.user_id
        ON CONFLICT (user_id) DO UPDATE SET position = h.position + EXCLUDED.position RETURNING h.user_id, h.position
    )
    INSERT INTO feed (user_id, position, conversation_id, event_id, source, name, version, subject, time, partition_key,
        sequence, traceparent, data)
    SELECT e.user_id, head.position + 1 - row_number() OVER (PARTITION BY e.user_id ORDER BY e.n DESC, e.place DESC),
        e.conversation_id, e.id, e.source, e.name, e.version, e.subject, e.time, e.partition_key, e.sequence, e.traceparent, e.data
    FROM entry AS e FULL JOIN head ON head.user_id = e.user_id;
    IF EXISTS (SELECT FROM unnest(events) AS e WHERE e.data ? 'revision') THEN
        -- Earlier events of the turn have what was deleted, and that of the conversation has the beginning of its first message.
        WITH locked AS (
            SELECT f.user_id, f.position FROM unnest(events) AS e CROSS JOIN LATERAL (
                SELECT * FROM feed WHERE feed.conversation_id = e.conversation_id OFFSET 0
            ) AS f
            WHERE f.data->>'turn_id' = e.turn_id::text
                AND coalesce((f.data->>'revision')::integer, 0) < (e.data->>'revision')::integer
              OR f.name = 'conversation.created' AND e.number = 1
                AND e.data->'deleted_message_ids' ? (e.data#>>'{user_message,id}')
            ORDER BY f.user_id, f.position
        )
        UPDATE feed AS f SET data = CASE f.name WHEN 'conversation.created' THEN f.data || '{"title": null}' END
        FROM locked WHERE f.user_id = locked.user_id AND f.position = locked.position;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION index_messages(ids uuid[], terms text[], earlier boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    WITH given AS MATERIALIZED (
        SELECT DISTINCT ON (g.id) g.id, g.terms
        FROM unnest(index_messages.ids, index_messages.terms) WITH ORDINALITY AS g (id, terms, n)
        WHERE g.terms IS NOT NULL ORDER BY g.id, g.n DESC
    ), message AS MATERIALIZED (
        SELECT g.id, g.terms, m.user_id, m.conversation_id, m.role, m.created_at, s.segment_id
        FROM given AS g CROSS JOIN LATERAL (
            SELECT m.user_id, m.conversation_id, m.role, m.created_at FROM messages AS m WHERE m.id = g.id OFFSET 0
        ) AS m LEFT JOIN LATERAL (
            SELECT s.segment_id FROM message_search AS s WHERE s.message_id = g.id OFFSET 0
        ) AS s ON true
    ), person AS (
        SELECT m.user_id, count(*)::integer AS size, min(m.created_at) AS first_at, max(m.created_at) AS last_at
        FROM message AS m WHERE m.segment_id IS NULL GROUP BY m.user_id
    ), placed AS (
        SELECT p.*, s.id AS segment_id, s.position, coalesce(s.size < 256, false) AS is_open
        FROM person AS p LEFT JOIN LATERAL (
            (SELECT s.id, s.position, s.size FROM search_segments AS s
             WHERE NOT index_messages.earlier AND s.user_id = p.user_id ORDER BY s.position DESC LIMIT 1)
            UNION ALL
            (SELECT s.id, s.position, s.size FROM search_segments AS s
             WHERE index_messages.earlier AND s.user_id = p.user_id ORDER BY s.position LIMIT 1)
        ) AS s ON true
    ), segment AS (
        INSERT INTO search_segments AS s (id, user_id, position, size, first_at, last_at)
        SELECT CASE WHEN p.is_open THEN p.segment_id ELSE nextval('search_segments_id_seq') END, p.user_id,
            CASE WHEN p.is_open THEN p.position WHEN index_messages.earlier THEN coalesce(p.position, 0) - 1
                 ELSE coalesce(p.position, -1) + 1 END, p.size, p.first_at, p.last_at
        FROM placed AS p ORDER BY p.user_id
        ON CONFLICT (id) DO UPDATE SET size = s.size + EXCLUDED.size,
            first_at = least(s.first_at, EXCLUDED.first_at), last_at = greatest(s.last_at, EXCLUDED.last_at)
        RETURNING s.id, s.user_id
    ), row AS (
        SELECT m.*, coalesce(m.segment_id, s.id) AS place FROM message AS m FULL JOIN segment AS s ON s.user_id = m.user_id
    )
    INSERT INTO message_search AS s (message_id, conversation_id, segment_id, role, created_at, terms)
    SELECT r.id, r.conversation_id, r.place, r.role, r.created_at, replace(r.terms, '~', to_hex(r.place) || ':')::tsvector
    FROM row AS r
    ON CONFLICT (message_id) DO UPDATE SET terms = EXCLUDED.terms, created_at = EXCLUDED.created_at;
END
$$;

CREATE OR REPLACE FUNCTION project_turns(batch jsonb, wait boolean) RETURNS TABLE (n integer, outcome text)
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
    FULL JOIN unnest(results) AS r ON r.n = e.n;
END
$$;

-- Rows of up to a page are stored as they are: compressing an event or the terms of a message takes longer than writing it.
ALTER TABLE feed SET (toast_tuple_target = 8160);
ALTER TABLE message_search SET (toast_tuple_target = 8160);
