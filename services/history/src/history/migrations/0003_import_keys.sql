-- Which file an idempotency key was used for. The ids of what a keyed import makes follow from key and file, so a repeated
-- import finds what the first one has stored, wherever that was interrupted.
CREATE TABLE import_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX import_keys_age ON import_keys (created_at);
