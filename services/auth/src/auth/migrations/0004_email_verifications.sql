CREATE TABLE email_verifications (
    digest bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON COLUMN email_verifications.email_key IS 'The address that the token was mailed to; the token verifies no other.';
CREATE INDEX email_verifications_of_user ON email_verifications (user_id);
