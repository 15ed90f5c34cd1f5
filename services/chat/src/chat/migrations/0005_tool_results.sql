-- Results of tool calls that the client sent with a turn. A turn that continues has the user message of an earlier turn.

ALTER TABLE turns ADD COLUMN tool_results jsonb NOT NULL DEFAULT '[]', ADD COLUMN continues boolean NOT NULL DEFAULT false;
