"""Client addresses behind trusted proxies."""

import pytest

from gateway.access.client_addresses import ClientAddresses, limit_subject
from parley.config.settings import SettingsError


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ([], "203.0.113.7", "10.0.0.1", "203.0.113.7"),
        (["10.0.0.0/8"], "203.0.113.7", "198.51.100.1", "203.0.113.7"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.1.1", "1.1.1.1, 198.51.100.1, 10.2.2.2", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.1.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1, rubbish", "10.1.1.1"),
        (["10.0.0.0/8"], "10.1.1.1", "", "10.1.1.1"),
        (["::1/128"], "::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_not_a_trusted_proxy(
    trusted: list[str], peer: str, forwarded: str, client: str
) -> None:
    assert ClientAddresses(trusted, per_minute=1).client(peer, forwarded).text == client


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    assert limit_subject("2001:db8:1:2:aaaa::1") == limit_subject("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert limit_subject("::ffff:192.0.2.1") == limit_subject("192.0.2.1") == "192.0.2.1"
    assert limit_subject("not an address") == "unknown"


def test_the_cache_of_clients_is_bounded() -> None:
    addresses = ClientAddresses([], per_minute=1)
    for number in range(30_000):
        addresses.client(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert addresses._client.cache_info().currsize <= 10_000


def test_an_invalid_network_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES: nonsense is not a network"):
        ClientAddresses(["nonsense"], per_minute=1)
