"""Anthropic's Messages API format."""
