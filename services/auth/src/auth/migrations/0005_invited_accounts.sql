ALTER TABLE users DROP CONSTRAINT users_status_check;
ALTER TABLE users ADD CONSTRAINT users_status_check CHECK (status IN ('active', 'disabled', 'invited'));
COMMENT ON COLUMN users.status IS 'invited: nobody has chosen a password yet; the first use of a password link makes the account active.';
