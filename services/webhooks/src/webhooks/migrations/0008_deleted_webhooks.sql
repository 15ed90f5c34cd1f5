-- A deleted webhook disappears at once, and its deliveries are deleted in batches. Its status is 'disabled', so that no code
-- sends for it.
ALTER TABLE webhooks ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN webhooks.deleted_at IS 'No request finds the webhook any more. Its deliveries and its row are deleted soon.';
