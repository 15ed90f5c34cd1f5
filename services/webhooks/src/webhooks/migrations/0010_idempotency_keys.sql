-- Responses of requests with an Idempotency-Key, for a day: their repetitions get them again.

CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    response bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, route, key)
);
COMMENT ON COLUMN idempotency_keys.route IS 'The path of the request.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'Digest of the body, which a repetition must match.';
COMMENT ON COLUMN idempotency_keys.response IS 'Encrypted with WEBHOOKS_SECRET_KEY, because it has the secret of a webhook.';
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
-- A plan for a user with few keys: see docs/query-plans.md.
ALTER TABLE idempotency_keys ALTER COLUMN user_id SET (n_distinct = -0.01);
