-- When a deleted conversation was blanked, so that nobody looks for texts in all turns.
ALTER TABLE conversations ADD COLUMN blanked_at timestamptz;
COMMENT ON COLUMN conversations.blanked_at IS 'When no turn of the deleted conversation ran or had content any more.';
