CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL,
    username_key text NOT NULL UNIQUE,
    email text,
    email_key text UNIQUE,
    email_verified boolean NOT NULL DEFAULT false,
    display_name text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    plan text NOT NULL DEFAULT 'default',
    scopes text[] NOT NULL,
    password_hash text NOT NULL,
    not_before bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);
COMMENT ON COLUMN users.username_key IS 'Normalised and case-folded: what makes two names the same.';
COMMENT ON COLUMN users.not_before IS 'Tokens issued up to this second (epoch) are void.';

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    client_id text NOT NULL,
    scopes text[] NOT NULL,
    user_agent text,
    address text,
    auth_time timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    current_digest bytea NOT NULL,
    previous_digest bytea,
    rotated_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text
);
COMMENT ON TABLE sessions IS 'A family of refresh tokens. Which one is current is decided in this row alone, under its lock.';
CREATE INDEX sessions_of_user ON sessions (user_id, id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_over ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    digest bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE
);
COMMENT ON TABLE refresh_tokens IS 'SHA-256 of every token a session ever had: an old one that comes back was stolen.';
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    idempotency_key text,
    fingerprint bytea NOT NULL
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, id);
CREATE UNIQUE INDEX api_keys_idempotency ON api_keys (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE password_resets (
    digest bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX password_resets_of_user ON password_resets (user_id);

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    public_x text NOT NULL,
    sealed bytea,
    created_at timestamptz NOT NULL,
    activates_at timestamptz NOT NULL,
    retired_at timestamptz
);
COMMENT ON COLUMN signing_keys.sealed IS 'The private key, AES-256-GCM under AUTH_SECRET_KEY, bound to kid; gone when retired.';

CREATE TABLE revocations (
    kind text NOT NULL CHECK (kind IN ('session', 'user')),
    subject uuid NOT NULL,
    not_before bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    pushed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (kind, subject)
);
COMMENT ON TABLE revocations IS 'Void tokens, kept as long as one could still be valid; a session may be an API key.';
CREATE INDEX revocations_unpushed ON revocations (expires_at) WHERE NOT pushed;
CREATE INDEX revocations_over ON revocations (expires_at);

CREATE TABLE erasures (
    id text PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE,
    requested_at timestamptz NOT NULL DEFAULT now(),
    asked_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE TABLE erasure_services (
    erasure_id text NOT NULL REFERENCES erasures,
    service text NOT NULL,
    confirmed_at timestamptz,
    PRIMARY KEY (erasure_id, service)
);

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    actor_type text NOT NULL,
    actor_id uuid,
    target_type text NOT NULL,
    target_id text NOT NULL,
    address text,
    request_id text,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_target ON audit_log (target_id, id);
CREATE INDEX audit_log_action ON audit_log (action, id);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
