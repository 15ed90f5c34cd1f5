-- When the active message was chosen. The choice ends with the first turn that starts later. A count of turns cannot tell,
-- because the choice may arrive here before the events of earlier turns.
UPDATE conversations SET active_message_id = NULL WHERE active_message_id IS NOT NULL AND active_number < last_number;
ALTER TABLE conversations ADD COLUMN active_since timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN conversations.active_number IS 'Unused since active_since.';
