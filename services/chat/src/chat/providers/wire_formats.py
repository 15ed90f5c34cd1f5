"""Wire formats of the model servers, by the kind of the target."""

from chat.catalogue import Target
from chat.parameters import ProviderKind
from chat.providers.anthropic_format import AnthropicFormat
from chat.providers.http_provider import WireFormat
from chat.providers.openai_format import OpenAIFormat

_FORMATS: dict[ProviderKind, WireFormat] = {
    "anthropic": AnthropicFormat(),
    # OpenAI's newer models reject max_tokens; other servers support neither max_completion_tokens nor `developer`.
    "compatible": OpenAIFormat(limit="max_tokens", developers=False),
    "openai": OpenAIFormat(limit="max_completion_tokens"),
}


def wire_format_of(target: Target) -> WireFormat:
    """Return the format that the target's server speaks."""
    return _FORMATS[target.kind]
