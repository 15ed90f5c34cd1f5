"""Import formats: each one turns a file into drafts, and reports the parts it cannot import."""
