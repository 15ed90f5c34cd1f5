-- Creates one role and one database for each service, and sets the passwords from the secrets. Safe to run again.
\set ON_ERROR_STOP on
\set auth_password `cat "$SECRETS_DIR/auth_database_password"`
\set chat_password `cat "$SECRETS_DIR/chat_database_password"`
\set history_password `cat "$SECRETS_DIR/history_database_password"`
\set webhooks_password `cat "$SECRETS_DIR/webhooks_database_password"`

-- Keeps statements with passwords out of the server's log.
SET password_encryption = 'scram-sha-256';
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

SELECT format('CREATE ROLE parley_%s LOGIN', service)
FROM unnest(ARRAY['auth', 'chat', 'history', 'webhooks']) AS service
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_' || service) \gexec

ALTER ROLE parley_auth PASSWORD :'auth_password';
ALTER ROLE parley_chat PASSWORD :'chat_password';
ALTER ROLE parley_history PASSWORD :'history_password';
ALTER ROLE parley_webhooks PASSWORD :'webhooks_password';

SELECT format('CREATE DATABASE parley_%1$s OWNER parley_%1$s', service)
FROM unnest(ARRAY['auth', 'chat', 'history', 'webhooks']) AS service
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'parley_' || service) \gexec

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname)
FROM pg_database WHERE datname LIKE 'parley\_%' OR datname = 'postgres' \gexec
