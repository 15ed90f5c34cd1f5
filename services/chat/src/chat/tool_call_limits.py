"""Limits of tool calls, in requests and in answers."""

MAX_CALL_ID = 16_384
"""Characters of the ID of a tool call. Some servers keep in it what they need to go on with the call."""
MAX_CALL_NAME = 200
"""Characters of the name of a call's function."""
