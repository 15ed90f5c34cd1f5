-- A table of its own: a new column of users would invalidate the prepared statements of replicas that still run.
CREATE TABLE password_times (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    set_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE password_times IS 'When a password was last changed or reset. API keys made since then end with the password; without a row, all do.';
