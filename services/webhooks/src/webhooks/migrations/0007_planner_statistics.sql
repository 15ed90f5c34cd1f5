-- Postgres makes a generic plan for the average. Where a few users have most of the rows, that average is so large that
-- walking through the rows of everybody looks cheap: a user with few rows or none would wait for all of them. A plan
-- for a hundred rows takes the index of the user, and so does one for a thousand users, where the rows of each are
-- limited. See docs/query-plans.md.
ALTER TABLE deliveries ALTER COLUMN webhook_id SET (n_distinct = -0.01);
ALTER TABLE events ALTER COLUMN partition_key SET (n_distinct = -0.01);
ALTER TABLE events ALTER COLUMN user_id SET (n_distinct = -0.01);
ALTER TABLE redactions ALTER COLUMN partition_key SET (n_distinct = -0.01);
ALTER TABLE redactions ALTER COLUMN user_id SET (n_distinct = -0.01);
ALTER TABLE webhooks ALTER COLUMN user_id SET (n_distinct = 1000);
ANALYZE deliveries (webhook_id);
ANALYZE events (partition_key, user_id);
ANALYZE redactions (partition_key, user_id);
ANALYZE webhooks (user_id);
