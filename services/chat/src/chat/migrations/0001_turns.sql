-- Turns: the row decides, its log shows. Locks are always taken in the order
-- accounts, idempotency_keys, conversations, turns, budgets, outbox_keys.

CREATE TABLE accounts (
    user_id uuid PRIMARY KEY,
    last_turn_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz
);
COMMENT ON TABLE accounts IS 'A row per person; locked by every admission, so that an erasure cannot be overtaken.';

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    next_number integer NOT NULL DEFAULT 1,
    latest_turn_id uuid,
    system_prompt text,
    adopted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX conversations_of_user ON conversations (user_id);
COMMENT ON COLUMN conversations.latest_turn_id IS 'The newest ended turn with output: what a turn without parent_id follows.';

CREATE TABLE turns (
    id uuid PRIMARY KEY,
    conversation_id uuid REFERENCES conversations (id),
    user_id uuid NOT NULL,
    number integer NOT NULL,
    parent_id uuid,
    regenerate uuid,
    user_message_id uuid NOT NULL,
    user_message text NOT NULL,
    user_message_at timestamptz NOT NULL,
    system_prompt text,
    model text NOT NULL,
    provider text,
    provider_model text,
    metadata jsonb NOT NULL DEFAULT '{}',
    request_id text NOT NULL,
    context text NOT NULL DEFAULT 'complete' CHECK (context IN ('complete', 'trimmed', 'partial')),
    omitted_turns integer NOT NULL DEFAULT 0,
    prompt_tokens integer NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'completed', 'incomplete', 'failed', 'cancelled')),
    finish_reason text,
    epoch integer NOT NULL DEFAULT 1,
    runner_id uuid NOT NULL,
    deadline_at timestamptz NOT NULL,
    cancel_requested_at timestamptz,
    entries jsonb,
    content text,
    tool_calls jsonb,
    usage jsonb,
    cost numeric(20, 9),
    price_version text,
    error jsonb,
    time_to_first_token_ms integer,
    log_lost boolean NOT NULL DEFAULT false,
    periods text[] NOT NULL DEFAULT '{}',
    reserved_tokens bigint NOT NULL DEFAULT 0,
    reserved_cost numeric(20, 9) NOT NULL DEFAULT 0,
    started_event_id uuid,
    ended_event_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    confirmed_at timestamptz
);
CREATE UNIQUE INDEX turns_running ON turns (conversation_id) WHERE status = 'running';
CREATE INDEX turns_of_conversation ON turns (conversation_id, number);
CREATE INDEX turns_of_user ON turns (user_id, id);
CREATE INDEX turns_of_runner ON turns (runner_id) WHERE status = 'running';
CREATE INDEX turns_unconfirmed ON turns (finished_at) WHERE confirmed_at IS NULL AND finished_at IS NOT NULL;
CREATE INDEX turns_confirmed ON turns (finished_at) WHERE confirmed_at IS NOT NULL;
COMMENT ON COLUMN turns.entries IS 'The log from seq 2 on: a string is a delta of text, an object holds deltas of tool calls.';

CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    turn_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_of_turn ON idempotency_keys (turn_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE budgets (
    user_id uuid NOT NULL,
    period text NOT NULL,
    tokens bigint NOT NULL DEFAULT 0,
    cost numeric(20, 9) NOT NULL DEFAULT 0,
    reserved_tokens bigint NOT NULL DEFAULT 0,
    reserved_cost numeric(20, 9) NOT NULL DEFAULT 0,
    token_limit bigint,
    cost_limit numeric(20, 9),
    PRIMARY KEY (user_id, period)
);
COMMENT ON COLUMN budgets.period IS 'A UTC day (2026-11-22) or month (2026-11).';

CREATE TABLE runners (
    id uuid PRIMARY KEY,
    until timestamptz NOT NULL
);
