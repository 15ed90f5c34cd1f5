-- One event of a turn, stored in one round trip. Whatever order a turn's events come in, and however often, the result is
-- the same: a start never replaces an end, sums change by the difference, "latest" is decided by the turn's number.

CREATE FUNCTION store_turn(e jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO turns VALUES (
        (e->>'turn_id')::uuid, (e->>'user_id')::uuid, (e->>'conversation_id')::uuid, (e->>'number')::integer,
        (e->>'stored')::boolean, coalesce(e->>'status', 'running'), e->>'finish_reason', e->>'model', e->>'provider',
        e->>'provider_model', (e#>>'{usage,prompt_tokens}')::integer, (e#>>'{usage,completion_tokens}')::integer,
        (e#>>'{usage,total_tokens}')::integer, (e#>>'{usage,cached_tokens}')::integer,
        (e#>>'{usage,reasoning_tokens}')::integer, (e#>>'{usage,estimated}')::boolean, (e->>'cost')::numeric,
        e->>'price_version', coalesce((e->>'cached')::boolean, false), nullif(e->'error', 'null'),
        coalesce(nullif(e->'metadata', 'null'), '{}'), e->>'request_id', (e->>'started_at')::timestamptz,
        (e->>'finished_at')::timestamptz, (e->>'time_to_first_token_ms')::integer
    )
    ON CONFLICT (id) DO UPDATE SET
        status = EXCLUDED.status, finish_reason = EXCLUDED.finish_reason, model = EXCLUDED.model,
        provider = EXCLUDED.provider, provider_model = EXCLUDED.provider_model,
        prompt_tokens = EXCLUDED.prompt_tokens, completion_tokens = EXCLUDED.completion_tokens,
        total_tokens = EXCLUDED.total_tokens, cached_tokens = EXCLUDED.cached_tokens,
        reasoning_tokens = EXCLUDED.reasoning_tokens, estimated = EXCLUDED.estimated, cost = EXCLUDED.cost,
        price_version = EXCLUDED.price_version, cached = EXCLUDED.cached, error = EXCLUDED.error,
        metadata = EXCLUDED.metadata, request_id = EXCLUDED.request_id, started_at = EXCLUDED.started_at,
        finished_at = EXCLUDED.finished_at, time_to_first_token_ms = EXCLUDED.time_to_first_token_ms
    WHERE EXCLUDED.status <> 'running' AND turns.* IS DISTINCT FROM EXCLUDED.*;
    RETURN FOUND;
END
$$;

-- Returns NULL when nothing changed, else how many messages are new.
CREATE FUNCTION store_messages(
    e jsonb, question_words text, question_bigrams text[], answer_words text, answer_bigrams text[]
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    question jsonb := nullif(e->'user_message', 'null');
    owner uuid := (e->>'user_id')::uuid;
    ended boolean := e ? 'status';
    fresh boolean;
    added integer := 0;
    changed boolean := false;
BEGIN
    IF question IS NOT NULL THEN
        -- Regenerations share the question: it belongs to the earliest of them.
        INSERT INTO messages VALUES (
            (question->>'id')::uuid, (e->>'conversation_id')::uuid, owner, (e->>'turn_id')::uuid,
            (e->>'number')::integer, (e->>'parent_id')::uuid, 'user', question->>'content', NULL, 'completed', NULL,
            (question->>'created_at')::timestamptz, search_terms(owner, question_words, question_bigrams)
        )
        ON CONFLICT (id) DO UPDATE SET
            turn_id = EXCLUDED.turn_id, number = EXCLUDED.number, parent_id = EXCLUDED.parent_id,
            content = EXCLUDED.content, created_at = EXCLUDED.created_at, search = EXCLUDED.search
        WHERE messages.conversation_id = EXCLUDED.conversation_id AND (EXCLUDED.number < messages.number
            OR EXCLUDED.number = messages.number AND messages.* IS DISTINCT FROM EXCLUDED.*)
        RETURNING xmax = 0 INTO fresh;
        changed := FOUND;
        added := coalesce(fresh, false)::integer;
    END IF;
    INSERT INTO messages VALUES (
        (e->>'turn_id')::uuid, (e->>'conversation_id')::uuid, owner, (e->>'turn_id')::uuid, (e->>'number')::integer,
        (question->>'id')::uuid, 'assistant', coalesce(e#>>'{message,content}', ''), nullif(e#>'{message,tool_calls}', 'null'),
        coalesce(e->>'status', 'running'), e->>'system_prompt',
        coalesce(e#>>'{message,created_at}', e->>'finished_at', e->>'started_at')::timestamptz,
        CASE WHEN ended THEN search_terms(owner, answer_words, answer_bigrams) END
    )
    ON CONFLICT (id) DO UPDATE SET
        parent_id = coalesce(EXCLUDED.parent_id, messages.parent_id), content = EXCLUDED.content,
        tool_calls = EXCLUDED.tool_calls, status = EXCLUDED.status, system_prompt = EXCLUDED.system_prompt,
        created_at = EXCLUDED.created_at, search = EXCLUDED.search
    WHERE messages.conversation_id = EXCLUDED.conversation_id AND EXCLUDED.status <> 'running'
        AND messages.* IS DISTINCT FROM EXCLUDED.*
    RETURNING xmax = 0 INTO fresh;
    changed := changed OR FOUND;
    RETURN CASE WHEN changed THEN added + coalesce(fresh, false)::integer END;
END
$$;

-- Returns what became of the event: stored, unchanged, usage (no text is kept), deleted or erased (nothing is).
CREATE FUNCTION project_turn(
    event_id uuid, event_name text, event_source text, event_time timestamptz, event_key text, event_sequence bigint,
    trace text, e jsonb, auto_title text, question_words text, question_bigrams text[], answer_words text, answer_bigrams text[],
    created_id uuid, created jsonb
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    owner uuid := (e->>'user_id')::uuid;
    turn uuid := (e->>'turn_id')::uuid;
    conversation uuid := (e->>'conversation_id')::uuid;
    turn_number integer := (e->>'number')::integer;
    tokens_before bigint;
    was_ended boolean;
    cost_before numeric;
    now_used turns;
    turn_changed boolean;
    added integer;
    newly_created boolean;
    first_seen boolean;
    happened timestamptz := coalesce(e->>'finished_at', e->>'started_at')::timestamptz;
    said timestamptz := greatest((e#>>'{user_message,created_at}')::timestamptz, (e#>>'{message,created_at}')::timestamptz);
BEGIN
    PERFORM lock_person(owner);
    INSERT INTO inbox (event_id, name) VALUES (project_turn.event_id, event_name) ON CONFLICT DO NOTHING;
    first_seen := FOUND;
    IF EXISTS (SELECT FROM user_tombstones AS u WHERE u.user_id = owner) THEN
        UPDATE inbox SET dropped_turn_id = turn WHERE inbox.event_id = project_turn.event_id AND e ? 'status';
        RETURN 'erased';
    END IF;
    IF EXISTS (SELECT FROM turns AS t WHERE t.id = turn AND t.user_id <> owner)
       OR EXISTS (SELECT FROM conversations AS c WHERE c.id = conversation AND c.user_id <> owner) THEN
        RAISE EXCEPTION 'this turn or conversation belongs to somebody else' USING ERRCODE = 'check_violation';
    END IF;

    SELECT coalesce(t.total_tokens, 0), t.cost, t.status <> 'running' INTO tokens_before, cost_before, was_ended
    FROM turns AS t WHERE t.id = turn;
    turn_changed := store_turn(e);
    SELECT * INTO now_used FROM turns AS t WHERE t.id = turn;
    IF conversation IS NULL OR NOT (e->>'stored')::boolean THEN
        RETURN CASE WHEN turn_changed THEN 'usage' ELSE 'unchanged' END;
    END IF;
    IF EXISTS (SELECT FROM conversation_tombstones AS d WHERE d.conversation_id = conversation) THEN
        RETURN 'deleted';
    END IF;

    INSERT INTO conversations (id, user_id, created_at, updated_at, version)
    VALUES (conversation, owner, coalesce((e#>>'{user_message,created_at}')::timestamptz, happened), happened, 0)
    ON CONFLICT DO NOTHING;
    newly_created := FOUND;
    added := store_messages(e, question_words, question_bigrams, answer_words, answer_bigrams);
    IF added IS NULL AND NOT turn_changed THEN
        RETURN 'unchanged';
    END IF;

    UPDATE conversations AS c SET
        -- An ended turn whose messages are new again is being repaired: what was lost before is not known, so count.
        message_count = CASE WHEN was_ended THEN (SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.id)
                             ELSE c.message_count + coalesce(added, 0) END,
        tokens_used = c.tokens_used + coalesce(now_used.total_tokens, 0) - coalesce(tokens_before, 0),
        cost = CASE WHEN now_used.cost IS NULL AND cost_before IS NULL THEN c.cost
                    ELSE coalesce(c.cost, 0) + coalesce(now_used.cost, 0) - coalesce(cost_before, 0) END,
        title = CASE WHEN c.title_source = 'auto' AND auto_title IS NOT NULL
                          AND turn_number < coalesce(c.title_number, 2147483647) THEN auto_title ELSE c.title END,
        title_number = CASE WHEN auto_title IS NULL THEN c.title_number ELSE least(c.title_number, turn_number) END,
        model = CASE WHEN turn_number >= c.last_number THEN e->>'model' ELSE c.model END,
        last_turn_id = CASE WHEN turn_number >= c.last_number THEN turn ELSE c.last_turn_id END,
        last_number = greatest(c.last_number, turn_number),
        created_at = least(c.created_at, (e#>>'{user_message,created_at}')::timestamptz),
        updated_at = greatest(c.updated_at, happened),
        last_message_at = greatest(c.last_message_at, said),
        version = c.version + 1
    WHERE c.id = conversation;

    IF newly_created THEN
        PERFORM outbox_append(created_id, 'conversation.created', conversation::text, conversation::text, created);
        PERFORM feed_own(created_id, owner, conversation);
    END IF;
    IF first_seen THEN
        INSERT INTO feed (user_id, position, conversation_id, event_id, source, name, version, subject, time,
                          partition_key, sequence, traceparent, data)
        VALUES (owner, feed_position(owner), conversation, project_turn.event_id, event_source, event_name, 1,
                conversation::text, event_time, event_key, event_sequence, trace, e);
    END IF;
    RETURN 'stored';
END
$$;
