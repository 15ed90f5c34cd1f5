-- The siblings of a message in creation order: a page of messages reads the first ones of each family only.
CREATE INDEX messages_families ON messages (conversation_id, parent_id, role, number, id);
-- Its columns are the first of the new index.
DROP INDEX messages_children;
