"""Requests to receivers: allowed targets, signatures, and the HTTP client."""
