-- A table of its own: a new column of users would invalidate the prepared statements of replicas that still run.
CREATE TABLE disabled_invitations (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE
);
COMMENT ON TABLE disabled_invitations IS
    'Accounts that were disabled while they were invited. Until password_times has a row, enabling makes them invited.';
-- Invitations that were disabled before there was this table: the creator of the account issued a password link at once,
-- and nobody has used it.
INSERT INTO disabled_invitations (user_id)
SELECT u.id FROM users AS u
WHERE u.status = 'disabled' AND u.last_login_at IS NULL
  AND NOT EXISTS (SELECT FROM password_times AS p WHERE p.user_id = u.id)
  AND EXISTS (
      SELECT FROM audit_log AS made
      JOIN audit_log AS issued ON issued.target_id = made.target_id AND issued.actor_type = made.actor_type
          AND issued.actor_id IS NOT DISTINCT FROM made.actor_id
          AND issued.at BETWEEN made.at AND made.at + interval '1 minute'
      WHERE made.target_id = u.id::text AND made.action = 'user.registered'
        AND issued.action = 'password_reset.issued');
