-- The transactional outbox: a service writes its event in the transaction of the fact, a relay publishes it.

CREATE TABLE outbox_keys (
    partition_key text PRIMARY KEY,
    sequence bigint NOT NULL
);
COMMENT ON TABLE outbox_keys IS 'Numbers the events of a key without gaps; the row is locked by the writing transaction.';

CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY,
    id uuid PRIMARY KEY,
    name text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    subject text NOT NULL,
    partition_key text NOT NULL,
    sequence bigint NOT NULL,
    time timestamptz NOT NULL DEFAULT clock_timestamp(),
    traceparent text,
    data jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    sent_at timestamptz,
    confirmed_at timestamptz,
    UNIQUE (partition_key, sequence)
);
CREATE INDEX outbox_unsent ON outbox (position) WHERE sent_at IS NULL;
CREATE INDEX outbox_waiting ON outbox (partition_key, sequence) WHERE sent_at IS NULL AND next_attempt_at IS NOT NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

-- Appends one event; usable inside any statement. Returns the event's sequence within its key.
CREATE FUNCTION outbox_append(
    event_id uuid, event_name text, event_subject text, event_key text, event_data jsonb, trace text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    following bigint;
BEGIN
    INSERT INTO outbox_keys AS k (partition_key, sequence) VALUES (event_key, 1)
    ON CONFLICT (partition_key) DO UPDATE SET sequence = k.sequence + 1
    RETURNING k.sequence INTO following;
    INSERT INTO outbox (id, name, subject, partition_key, sequence, data, traceparent)
    VALUES (event_id, event_name, event_subject, event_key, following, event_data, trace);
    RETURN following;
END
$$;
