"""Client addresses behind trusted proxies."""

import pytest

from gateway.access.client_addresses import ClientAddresses, limit_subject
from gateway_testing.fakes import make_request
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
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1:4711", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1:4711, 10.2.2.2:80", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.1.1", "[2001:db8::7]", "2001:db8::7"),
        (["10.0.0.0/8"], "10.1.1.1", "[2001:db8::7]:4711", "2001:db8::7"),
        (["10.0.0.0/8"], "10.1.1.1", '"[2001:db8::7]:4711"', "2001:db8::7"),
        (["10.0.0.0/8"], "10.1.1.1", "fe80::1%eth0", "fe80::1"),
        (["10.0.0.0/8"], "10.1.1.1", "::ffff:198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1, unknown", "10.1.1.1"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1, [::1", "10.1.1.1"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1, 1.2.3.4:port", "10.1.1.1"),
        (["10.0.0.0/8"], "::ffff:10.1.1.1", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.1" + ", 10.2.2.2" * 5000, "10.2.2.2"),
        ([], "", "", "unknown"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_not_a_trusted_proxy(
    trusted: list[str], peer: str, forwarded: str, client: str
) -> None:
    assert ClientAddresses(trusted, per_minute=1).client(peer, forwarded).text == client


@pytest.mark.parametrize(
    ("headers", "scheme", "host", "node"),
    [
        ({}, b"http", b"localhost", b"203.0.113.7"),
        ({"x-forwarded-proto": "https", "x-forwarded-host": "chat.example:444"}, b"https", b"chat.example:444", b""),
        (
            {"x-forwarded-proto": "http, HTTPS", "x-forwarded-host": "evil, chat.example"},
            b"https",
            b"chat.example",
            b"",
        ),
        ({"x-forwarded-proto": "gopher", "x-forwarded-host": 'a";for="1.2.3.4'}, b"http", b"localhost", b""),
        ({"x-forwarded-for": "[2001:db8::7]:1"}, b"http", b"localhost", b'"[2001:db8::7]"'),
        ({"x-forwarded-for": "203.0.113.9:1"}, b"http", b"localhost", b"203.0.113.9"),
    ],
)
def test_scheme_and_host_are_those_of_the_nearest_proxy_and_fit_into_the_forwarded_header(
    headers: dict[str, str], scheme: bytes, host: bytes, node: bytes
) -> None:
    request = make_request({"host": "localhost", "x-forwarded-for": "203.0.113.7", **headers})
    ClientAddresses(["127.0.0.0/8"], per_minute=1).locate(request)
    assert (request.scheme, request.host, request.client.node) == (scheme, host, node or b"203.0.113.7")


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
