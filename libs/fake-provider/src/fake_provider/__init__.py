"""OpenAI-compatible model server with knobs and a journal, for tests and benchmarks."""
