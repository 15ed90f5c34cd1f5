-- Requests of clients of the Responses API: the input items, and the members that their responses repeat.

ALTER TABLE turns ADD COLUMN response jsonb;
