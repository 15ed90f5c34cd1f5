-- As 0022, for the other tables whose rows of a user are erased in batches.
ALTER TABLE feed ALTER COLUMN user_id SET (n_distinct = -0.01);
ALTER TABLE import_keys ALTER COLUMN user_id SET (n_distinct = -0.01);
ALTER TABLE search_segments ALTER COLUMN user_id SET (n_distinct = -0.01);
ANALYZE feed (user_id);
ANALYZE import_keys (user_id);
ANALYZE search_segments (user_id);
