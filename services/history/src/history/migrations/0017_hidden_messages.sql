-- Messages that nobody is shown, and that keep their place in the tree: of items that were deleted, and of turns that have no
-- answer, because their user put them into the conversation. Late events never restore what a later revision deleted.
ALTER TABLE messages ADD COLUMN hidden boolean NOT NULL DEFAULT false, ADD COLUMN revision integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN messages.revision IS 'How many items of its turn were deleted when it was stored.';

-- The nearest message above a hidden one that is shown.
CREATE FUNCTION shown_ancestor(message uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above (id, parent_id, hidden) AS (
        SELECT m.id, m.parent_id, m.hidden FROM messages AS m WHERE m.id = shown_ancestor.message
        UNION ALL
        SELECT m.id, m.parent_id, m.hidden FROM above AS a CROSS JOIN LATERAL (
            SELECT * FROM messages WHERE messages.id = a.parent_id OFFSET 0
        ) AS m
        WHERE a.hidden
    )
    SELECT id FROM above WHERE NOT hidden
$$;

-- The messages of a round, each once; ``messages_of`` of earlier releases has no hidden ones. Results of tool calls are a chain below the question or the answer that is continued.
CREATE FUNCTION projected_messages(events turn_event[]) RETURNS TABLE (
    id uuid, conversation_id uuid, user_id uuid, turn_id uuid, number integer, parent_id uuid, role text, content text,
    tool_calls jsonb, status text, system_prompt text, created_at timestamptz, search tsvector, tool_call_id text,
    hidden boolean, revision integer
) LANGUAGE sql STABLE AS $$
    WITH event AS (
        SELECT e.n, e.turn_id, e.user_id, e.conversation_id, e.number, e.question_words, e.question_bigrams, e.answer_words,
            e.answer_bigrams, e.data, nullif(e.data->'user_message', 'null') AS question,
            coalesce((e.data->>'continues')::boolean, false) AS continues, nullif(e.data->'tool_results', 'null') AS results,
            coalesce((e.data->>'revision')::integer, 0) AS revision, coalesce(e.data->'deleted_message_ids', '[]') AS deleted
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
        CASE WHEN q.question_bigrams IS NOT NULL THEN search_terms(q.user_id, q.question_words, q.question_bigrams) END, NULL,
        q.deleted ? (q.id::text), q.revision
    FROM question AS q
    UNION ALL
    SELECT r.id, r.conversation_id, r.user_id, r.turn_id, r.number, r.parent_id, 'tool', r.result->>'content', NULL,
        'completed', NULL, (r.result->>'created_at')::timestamptz, NULL, r.result->>'tool_call_id',
        r.deleted ? (r.id::text), r.revision
    FROM result AS r
    UNION ALL
    SELECT e.turn_id, e.conversation_id, e.user_id, e.turn_id, e.number,
        coalesce(e.results->-1->>'id', e.question->>'id', e.data->>'parent_id')::uuid, 'assistant',
        coalesce(e.data#>>'{message,content}', ''),
        nullif(e.data#>'{message,tool_calls}', 'null'), coalesce(e.data->>'status', 'running'), e.data->>'system_prompt',
        coalesce(e.data#>>'{message,created_at}', e.data->>'finished_at', e.data->>'started_at')::timestamptz,
        CASE WHEN e.data ? 'status' AND e.answer_bigrams IS NOT NULL
             THEN search_terms(e.user_id, e.answer_words, e.answer_bigrams) END, NULL,
        e.deleted ? (e.turn_id::text) OR e.data ? 'status' AND nullif(e.data->'message', 'null') IS NULL, e.revision
    FROM event AS e
$$;

-- Stores the messages of a round. Gives back the turns of those that changed, and how many of them are new. The service
-- gives no bigrams where their terms go into the search index of their own.
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

-- Changes the conversations of the stored events by what these tell: sums by the difference, and what is latest by number.
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
        SELECT e.conversation_id, coalesce(bool_or(r.repaired), false) AS repaired, sum(r.added) AS added,
            sum(r.tokens) AS tokens, sum(r.cost) AS cost, count(*) AS changes,
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
        FROM unnest(events) AS e JOIN unnest(results) AS r ON r.n = e.n
        WHERE r.outcome = 'stored' GROUP BY e.conversation_id
    ) AS s
    WHERE c.id = s.conversation_id;
END
$$;

-- Puts the stored events into the feeds of their people in the order of arrival, with conversation.created before the first.
CREATE OR REPLACE FUNCTION feed_events(events turn_event[], results projected_event[]) RETURNS void
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
