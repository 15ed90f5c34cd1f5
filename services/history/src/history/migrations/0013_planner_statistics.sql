-- Postgres makes a generic plan for the average: a user of a few conversations, a conversation of a few messages. For these,
-- reading everything and sorting it is cheap; for the largest ones, it is not. A plan for a thousand suits both.
ALTER TABLE conversations ALTER COLUMN user_id SET (n_distinct = -0.001);
ALTER TABLE messages ALTER COLUMN conversation_id SET (n_distinct = -0.001);
ANALYZE conversations (user_id);
ANALYZE messages (conversation_id);
