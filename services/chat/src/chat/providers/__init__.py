"""Model servers: the OpenAI wire over HTTP, its errors in our words, retries before the first token."""
