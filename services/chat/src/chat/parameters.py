"""Request parameters that model servers accept and Parley forwards unchanged."""

from typing import Literal

ProviderKind = Literal["openai", "compatible"]
"""OpenAI itself, which refuses unknown parameters, or another server with its API."""

_OPENAI = """
    frequency_penalty logit_bias parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_retention
    reasoning_effort response_format safety_identifier seed stop tool_choice tools top_p user verbosity
"""
_OTHERS = """
    chat_template_kwargs dry_allowed_length dry_base dry_multiplier enable_thinking grammar guided_choice guided_grammar
    guided_json guided_regex ignore_eos include_reasoning min_p min_tokens mirostat mirostat_eta mirostat_tau
    reasoning reasoning_content reasoning_format repeat_last_n repeat_penalty repetition_penalty skip_special_tokens
    stop_token_ids structured_outputs thinking thinking_budget top_a top_k typical_p
"""
"""``reasoning_content`` and ``reasoning`` are also members of messages."""
FORWARDED: dict[ProviderKind, frozenset[str]] = {
    "openai": frozenset(_OPENAI.split()),
    "compatible": frozenset(_OPENAI.split()) | frozenset(_OTHERS.split()),
}
"""Parameters by provider kind. None of them raises the price of a token, or the number of answers."""
