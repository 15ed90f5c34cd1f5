"""Endpoints from the settings."""

import pytest

from gateway.upstream.endpoint import parse_endpoint
from parley.config.settings import SettingsError


@pytest.mark.parametrize("url", ["localhost:80", "https://a", "http://a/path", "http://", "http://a:b", "http://u:p@a"])
def test_an_address_that_is_not_plain_http_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="CHAT_URL"):
        parse_endpoint(url, setting="CHAT_URL")
