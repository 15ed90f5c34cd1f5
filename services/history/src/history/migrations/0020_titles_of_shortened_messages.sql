-- The deletion of a part of the first message takes it out of the title in the feed and in the outbox, too.

CREATE OR REPLACE FUNCTION feed_events(events turn_event[], results projected_event[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    creating integer[] := ARRAY(SELECT r.n FROM unnest(results) AS r WHERE r.created);
    titled integer[];
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
        -- Earlier events of the turn have what was deleted.
        WITH locked AS (
            SELECT f.user_id, f.position FROM unnest(events) AS e CROSS JOIN LATERAL (
                SELECT * FROM feed WHERE feed.conversation_id = e.conversation_id OFFSET 0
            ) AS f
            WHERE f.data->>'turn_id' = e.turn_id::text
                AND coalesce((f.data->>'revision')::integer, 0) < (e.data->>'revision')::integer
            ORDER BY f.user_id, f.position
        )
        UPDATE feed AS f SET data = NULL FROM locked WHERE f.user_id = locked.user_id AND f.position = locked.position;
        -- The event of the conversation has the beginning of its first message: now of what the newest deletion has left of it.
        titled := ARRAY(
            SELECT e.n FROM (
                SELECT DISTINCT ON (e.conversation_id) e.n, e.turn_id, (e.data->>'revision')::integer AS revision
                FROM unnest(events) AS e WHERE e.data ? 'revision' AND e.number = 1
                ORDER BY e.conversation_id, (e.data->>'revision')::integer DESC
            ) AS e
            LEFT JOIN LATERAL (SELECT m.revision FROM messages AS m WHERE m.id = e.turn_id OFFSET 0) AS m ON true
            WHERE coalesce(m.revision, 0) <= e.revision
        );
        WITH locked AS (
            SELECT f.user_id, f.position, e.auto_title FROM unnest(events) AS e CROSS JOIN LATERAL (
                SELECT * FROM feed WHERE feed.conversation_id = e.conversation_id OFFSET 0
            ) AS f
            WHERE e.n = ANY(titled) AND f.name = 'conversation.created' AND f.data->>'origin' = 'chat'
                AND f.data->>'title' IS NOT NULL
            ORDER BY f.user_id, f.position
        )
        UPDATE feed AS f SET data = f.data || jsonb_build_object('title', locked.auto_title)
        FROM locked WHERE f.user_id = locked.user_id AND f.position = locked.position;
        WITH locked AS (
            SELECT o.id, e.auto_title FROM unnest(events) AS e CROSS JOIN LATERAL (
                SELECT * FROM outbox WHERE outbox.partition_key = e.conversation_id::text OFFSET 0
            ) AS o
            WHERE e.n = ANY(titled) AND o.name = 'conversation.created' AND o.data->>'origin' = 'chat'
                AND o.data->>'title' IS NOT NULL
            ORDER BY o.id FOR NO KEY UPDATE
        )
        UPDATE outbox AS o SET data = o.data || jsonb_build_object('title', locked.auto_title)
        FROM locked WHERE o.id = locked.id;
    END IF;
END
$$;
