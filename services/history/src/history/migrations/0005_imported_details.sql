-- What an export says of an answer: finish_reason, usage and cost (a text, to be exact). It is shown and exported again.
-- It is not a row of turns, because that would count it as used here.
ALTER TABLE messages ADD COLUMN imported_details jsonb;
