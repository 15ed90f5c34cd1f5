-- A turn without tokens costs nothing, whether the price of its model is known or not. So its cost of 0 does not make the
-- cost of a conversation known: the other turns may have no known price.

CREATE OR REPLACE FUNCTION update_conversations(events turn_event[], results projected_event[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    UPDATE conversations AS c SET
        message_count = CASE WHEN s.repaired THEN (
                                 SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id AND NOT m.hidden)
                             ELSE c.message_count + s.added END,
        tokens_used = c.tokens_used + s.tokens,
        cost = CASE WHEN s.cost IS NULL THEN c.cost ELSE coalesce(c.cost, 0) + s.cost END,
        title = CASE WHEN c.title_source = 'auto' AND (
                         s.title_number <= coalesce(c.title_number, 2147483647) OR c.title_number = ANY(s.untitled))
                     THEN s.title ELSE c.title END,
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
            sum(e.tokens) AS tokens,
            sum(e.cost) FILTER (WHERE e.tokens <> 0 OR e.cost <> 0) AS cost, count(*) AS changes,
            min(e.number) FILTER (WHERE e.auto_title IS NOT NULL) AS title_number,
            (array_agg(e.auto_title ORDER BY e.number, e.n) FILTER (WHERE e.auto_title IS NOT NULL))[1] AS title,
            max(e.number) AS number, (array_agg(e.data->>'model' ORDER BY e.number DESC, e.n DESC)
                FILTER (WHERE e.data->>'finish_reason' IS DISTINCT FROM 'inserted'))[1] AS model,
            array_agg(e.number) FILTER (WHERE e.data ? 'revision' AND e.auto_title IS NULL) AS untitled,
            (array_agg(e.turn_id ORDER BY e.number DESC, e.n DESC))[1] AS turn_id,
            min((e.data#>>'{user_message,created_at}')::timestamptz) AS began,
            max(coalesce(e.data->>'finished_at', e.data->>'started_at')::timestamptz) AS happened,
            max(greatest((e.data#>>'{user_message,created_at}')::timestamptz,
                         (e.data#>>'{message,created_at}')::timestamptz)) AS said
        FROM (
            SELECT e.n, e.turn_id, e.conversation_id, e.number, e.data, r.outcome, r.repaired, r.added, r.tokens, r.cost,
                CASE WHEN e.n >= coalesce(max(e.n) FILTER (WHERE e.data ? 'revision' AND r.outcome = 'stored')
                    OVER (PARTITION BY e.conversation_id, e.number), 0) THEN e.auto_title END AS auto_title
            FROM unnest(events) AS e FULL JOIN unnest(results) AS r ON r.n = e.n OFFSET 0
        ) AS e
        WHERE e.outcome = 'stored' GROUP BY e.conversation_id
    ) AS s
    WHERE c.id = s.conversation_id;
END
$$;
