-- Results of tool calls are messages: below the user message of their turn, or below the answer that a turn continues.

ALTER TABLE messages ADD COLUMN tool_call_id text;

CREATE FUNCTION store_tool_results(e jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    above uuid := CASE WHEN (e->>'continues')::boolean THEN e->>'parent_id' ELSE e#>>'{user_message,id}' END;
    result jsonb;
    fresh boolean;
    added integer := 0;
BEGIN
    FOR result IN SELECT value FROM jsonb_array_elements(e->'tool_results') WITH ORDINALITY ORDER BY ordinality LOOP
        -- Regenerations share the results: they belong to the earliest of them.
        INSERT INTO messages (
            id, conversation_id, user_id, turn_id, number, parent_id, role, content, status, created_at, tool_call_id
        ) VALUES (
            (result->>'id')::uuid, (e->>'conversation_id')::uuid, (e->>'user_id')::uuid, (e->>'turn_id')::uuid,
            (e->>'number')::integer, above, 'tool', result->>'content', 'completed',
            (result->>'created_at')::timestamptz, result->>'tool_call_id'
        )
        ON CONFLICT (id) DO UPDATE SET turn_id = EXCLUDED.turn_id, number = EXCLUDED.number
        WHERE messages.conversation_id = EXCLUDED.conversation_id AND EXCLUDED.number < messages.number
        RETURNING xmax = 0 INTO fresh;
        added := added + coalesce(FOUND AND fresh, false)::integer;
        above := (result->>'id')::uuid;
    END LOOP;
    RETURN added;
END
$$;

CREATE OR REPLACE FUNCTION store_messages(
    e jsonb, question_words text, question_bigrams text[], answer_words text, answer_bigrams text[]
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    question jsonb := nullif(e->'user_message', 'null');
    owner uuid := (e->>'user_id')::uuid;
    ended boolean := e ? 'status';
    continues boolean := coalesce((e->>'continues')::boolean, false);
    has_results boolean := coalesce(jsonb_array_length(nullif(e->'tool_results', 'null')), 0) > 0;
    answered uuid := CASE WHEN has_results THEN e#>>'{tool_results,-1,id}' ELSE question->>'id' END;
    fresh boolean;
    added integer := 0;
    changed boolean := false;
BEGIN
    IF question IS NOT NULL AND NOT continues THEN
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
    IF has_results THEN
        added := added + store_tool_results(e);
        changed := changed OR added > 0;
    END IF;
    INSERT INTO messages VALUES (
        (e->>'turn_id')::uuid, (e->>'conversation_id')::uuid, owner, (e->>'turn_id')::uuid, (e->>'number')::integer,
        answered, 'assistant', coalesce(e#>>'{message,content}', ''), nullif(e#>'{message,tool_calls}', 'null'),
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
