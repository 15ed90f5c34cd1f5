-- The deletion of the first message takes the title, which is its beginning, out of the outbox as it does out of the feed.

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
        WITH locked AS (
            SELECT o.id FROM unnest(events) AS e CROSS JOIN LATERAL (
                SELECT * FROM outbox WHERE outbox.partition_key = e.conversation_id::text OFFSET 0
            ) AS o
            WHERE o.name = 'conversation.created' AND e.number = 1
                AND e.data->'deleted_message_ids' ? (e.data#>>'{user_message,id}')
            ORDER BY o.id FOR NO KEY UPDATE
        )
        UPDATE outbox AS o SET data = o.data || '{"title": null}' FROM locked WHERE o.id = locked.id;
    END IF;
END
$$;
