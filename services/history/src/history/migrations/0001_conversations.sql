-- Conversations as the events of turns tell them. A turn is the node of the tree; the id of its answer is the turn's id.

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    title text,
    title_source text NOT NULL DEFAULT 'auto' CHECK (title_source IN ('auto', 'user')),
    title_number integer,
    archived boolean NOT NULL DEFAULT false,
    model text,
    message_count integer NOT NULL DEFAULT 0,
    tokens_used bigint NOT NULL DEFAULT 0,
    cost numeric(20, 9),
    last_number integer NOT NULL DEFAULT 0,
    last_turn_id uuid,
    active_message_id uuid,
    active_number integer,
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_message_at timestamptz,
    deleted_at timestamptz
);
COMMENT ON COLUMN conversations.title_number IS 'The turn the automatic title was made from: an earlier one that arrives later gives a better title.';
COMMENT ON COLUMN conversations.active_number IS 'last_number when the active message was chosen: the choice ends with the next turn.';
CREATE INDEX conversations_of_user ON conversations (user_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX conversations_deleted ON conversations (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations ON DELETE CASCADE,
    user_id uuid NOT NULL,
    turn_id uuid,
    number integer NOT NULL,
    parent_id uuid,
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'tool')),
    content text NOT NULL,
    tool_calls jsonb,
    status text NOT NULL,
    system_prompt text,
    created_at timestamptz NOT NULL,
    search tsvector,
    imported_model text
);
CREATE INDEX messages_in_order ON messages (conversation_id, number, (CASE role WHEN 'user' THEN 0 ELSE 1 END), id);
CREATE INDEX messages_children ON messages (conversation_id, parent_id);
CREATE INDEX messages_search ON messages USING gin (search);

-- What a turn used, without its text: also for turns that belong to no conversation or to a deleted one.
CREATE TABLE turns (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    conversation_id uuid,
    number integer NOT NULL,
    stored boolean NOT NULL,
    status text NOT NULL,
    finish_reason text,
    model text NOT NULL,
    provider text,
    provider_model text,
    prompt_tokens integer,
    completion_tokens integer,
    total_tokens integer,
    cached_tokens integer,
    reasoning_tokens integer,
    estimated boolean,
    cost numeric(20, 9),
    price_version text,
    cached boolean NOT NULL DEFAULT false,
    error jsonb,
    metadata jsonb NOT NULL DEFAULT '{}',
    request_id text,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    time_to_first_token_ms integer
);
CREATE INDEX turns_of_user ON turns (user_id, finished_at);
CREATE INDEX turns_of_conversation ON turns (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX turns_running ON turns (conversation_id) WHERE status = 'running' AND stored;

CREATE TABLE conversation_tombstones (
    conversation_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL,
    purge_after timestamptz NOT NULL,
    purged_at timestamptz
);
CREATE INDEX conversation_tombstones_due ON conversation_tombstones (purge_after) WHERE purged_at IS NULL;
CREATE INDEX conversation_tombstones_of_user ON conversation_tombstones (user_id);

CREATE TABLE user_tombstones (
    user_id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    name text NOT NULL,
    dropped_turn_id uuid,
    received_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN inbox.dropped_turn_id IS 'The ended turn of an erased person: nothing of it is stored, and it need not be sent again.';
CREATE INDEX inbox_dropped ON inbox (dropped_turn_id) WHERE dropped_turn_id IS NOT NULL;
CREATE INDEX inbox_received ON inbox (received_at);

-- The feed of each person: positions are gap-free and in commit order, because every writer holds the person's lock.
CREATE TABLE feed_heads (
    user_id uuid PRIMARY KEY,
    position bigint NOT NULL
);
CREATE TABLE feed (
    user_id uuid NOT NULL,
    position bigint NOT NULL,
    conversation_id uuid NOT NULL,
    event_id uuid NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    subject text NOT NULL,
    time timestamptz NOT NULL,
    partition_key text NOT NULL,
    sequence bigint NOT NULL,
    traceparent text,
    data jsonb,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, position)
);
COMMENT ON COLUMN feed.data IS 'NULL once its conversation was deleted: the position stays, the event is no longer shown.';
CREATE INDEX feed_of_conversation ON feed (conversation_id);
CREATE INDEX feed_age ON feed (stored_at);

-- Every transaction that writes something of a person begins with this: it orders the feed and shuts out erasure.
CREATE FUNCTION lock_person(person uuid) RETURNS void LANGUAGE sql AS
$$ SELECT pg_advisory_xact_lock(hashtextextended(person::text, 0)) $$;

CREATE FUNCTION feed_position(person uuid) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO feed_heads AS h (user_id, position) VALUES (person, 1)
    ON CONFLICT (user_id) DO UPDATE SET position = h.position + 1
    RETURNING position
$$;

-- Puts an event of our own, just written into the outbox, into its owner's feed.
CREATE FUNCTION feed_own(event uuid, person uuid, conversation uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO feed (user_id, position, conversation_id, event_id, source, name, version, subject, time,
                      partition_key, sequence, traceparent, data)
    SELECT person, feed_position(person), conversation, o.id, '/services/history', o.name, o.version, o.subject, o.time,
           o.partition_key, o.sequence, o.traceparent, o.data
    FROM outbox AS o WHERE o.id = event
$$;

-- What the search index holds of a message: its owner (so that the index never leaves one person's messages), its
-- words as they are and as English stems, and the bigrams of scripts without spaces. Words and bigrams are found by the
-- service, which finds those of a query in the same way.
CREATE FUNCTION search_terms(person uuid, words text, bigrams text[]) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT array_to_tsvector(array['user:' || person] || bigrams)
        || to_tsvector('pg_catalog.simple', words) || to_tsvector('pg_catalog.english', words)
$$;
