"""Test doubles and fixtures' helpers of the chat service."""
