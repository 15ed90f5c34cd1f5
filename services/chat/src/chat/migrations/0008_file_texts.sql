-- Texts of files for models: the estimated tokens, or the code of the error that a PDF always gives.

ALTER TABLE files ADD COLUMN text_tokens integer, ADD COLUMN text_error text;
