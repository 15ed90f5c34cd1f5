-- Postgres makes a generic plan for the average. Where a few users have most of the rows, that average is so large that
-- walking through the rows of everybody looks cheap: a user with few rows or none would wait for all of them. A plan
-- for a hundred rows takes the index of the user, and so does one for a thousand users, where the rows of each are
-- limited. See docs/query-plans.md.
ALTER TABLE audit_log ALTER COLUMN actor_id SET (n_distinct = -0.01);
ALTER TABLE audit_log ALTER COLUMN target_id SET (n_distinct = -0.01);
ALTER TABLE api_keys ALTER COLUMN user_id SET (n_distinct = 1000);
ALTER TABLE email_verifications ALTER COLUMN user_id SET (n_distinct = 1000);
ALTER TABLE known_devices ALTER COLUMN user_id SET (n_distinct = 1000);
ALTER TABLE password_resets ALTER COLUMN user_id SET (n_distinct = 1000);
ALTER TABLE refresh_tokens ALTER COLUMN session_id SET (n_distinct = 1000);
ALTER TABLE sessions ALTER COLUMN user_id SET (n_distinct = 1000);
ANALYZE api_keys (user_id);
ANALYZE audit_log (actor_id, target_id);
ANALYZE email_verifications (user_id);
ANALYZE known_devices (user_id);
ANALYZE password_resets (user_id);
ANALYZE refresh_tokens (session_id);
ANALYZE sessions (user_id);
