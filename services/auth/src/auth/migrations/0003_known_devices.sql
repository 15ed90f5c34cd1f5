CREATE TABLE known_devices (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    digest bytea NOT NULL,
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, digest)
);
COMMENT ON TABLE known_devices IS 'Devices that have logged in to an account: SHA-256 of client and user agent without versions.';
CREATE INDEX known_devices_unseen ON known_devices (last_seen_at);
