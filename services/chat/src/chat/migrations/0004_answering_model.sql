-- The fallback model that a turn's reservation is for. Null: the model of the turn.

ALTER TABLE turns ADD COLUMN answering_model text;
