"""Request parameters that Parley forwards: unchanged, or to Anthropic as that API names them."""

from typing import Literal

ProviderKind = Literal["openai", "compatible", "anthropic"]
"""OpenAI itself, which refuses unknown parameters, another server with its API, or a server with Anthropic's API."""

_OPENAI = """
    frequency_penalty logit_bias logprobs parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_retention
    reasoning_effort response_format safety_identifier seed stop tool_choice tools top_logprobs top_p user verbosity
"""
_OTHERS = """
    chat_template_kwargs dry_allowed_length dry_base dry_multiplier enable_thinking grammar guided_choice guided_grammar
    guided_json guided_regex ignore_eos include_reasoning min_p min_tokens mirostat mirostat_eta mirostat_tau
    reasoning reasoning_content reasoning_format repeat_last_n repeat_penalty repetition_penalty skip_special_tokens
    stop_token_ids structured_outputs thinking thinking_budget top_a top_k typical_p
"""
"""``reasoning_content`` and ``reasoning`` are also members of messages."""
_ANTHROPIC = """
    parallel_tool_calls reasoning_effort response_format stop thinking tool_choice tools top_k top_p user
"""
FORWARDED: dict[ProviderKind, frozenset[str]] = {
    "openai": frozenset(_OPENAI.split()),
    "compatible": frozenset(_OPENAI.split()) | frozenset(_OTHERS.split()),
    "anthropic": frozenset(_ANTHROPIC.split()),
}
"""Parameters by provider kind. None of them raises the price of a token, or the number of answers."""
