-- Webhooks, the events that they match, and one delivery for each pair.

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    scope text NOT NULL CHECK (scope IN ('own', 'all')),
    url text NOT NULL,
    events text[] NOT NULL,
    name_patterns text[] NOT NULL,
    description text,
    ordered boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'paused', 'disabled')),
    disabled_reason text,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_secret_until timestamptz,
    failing_since timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN webhooks.name_patterns IS 'The filters of events as regular expressions over event names.';
COMMENT ON COLUMN webhooks.secret IS 'Encrypted with WEBHOOKS_SECRET_KEY, bound to the id of the webhook.';
COMMENT ON COLUMN webhooks.failing_since IS 'Time of the first failed attempt since the last successful one.';
CREATE INDEX webhooks_of_user ON webhooks (user_id, id);
CREATE INDEX webhooks_for_all ON webhooks (id) WHERE scope = 'all';

-- Only events that a webhook matches. The body is what every attempt sends.
CREATE TABLE events (
    id uuid PRIMARY KEY,
    user_id uuid,
    name text NOT NULL,
    version integer NOT NULL,
    partition_key text NOT NULL,
    time timestamptz NOT NULL,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_of_user ON events (user_id);
CREATE INDEX events_received ON events (received_at);

CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event_id uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    position bigint GENERATED ALWAYS AS IDENTITY,
    partition_key text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed', 'dead')),
    attempt integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT now(),
    claim uuid,
    claimed_until timestamptz,
    attempted_at timestamptz,
    response_status integer,
    latency_ms integer,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (webhook_id, event_id)
);
COMMENT ON COLUMN deliveries.position IS 'Order of arrival; the order of sending within a partition key of an ordered webhook.';
COMMENT ON COLUMN deliveries.claim IS 'The attempt in progress. Only its holder may record the outcome.';
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at, position) WHERE status IN ('pending', 'failed');
CREATE INDEX deliveries_in_order ON deliveries (webhook_id, partition_key, position) WHERE status IN ('pending', 'failed');
CREATE INDEX deliveries_claimed ON deliveries (webhook_id) WHERE claim IS NOT NULL;
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_attempted ON deliveries (webhook_id, attempted_at) WHERE attempted_at IS NOT NULL;
CREATE INDEX deliveries_of_event ON deliveries (event_id);

CREATE TABLE user_tombstones (
    user_id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);
