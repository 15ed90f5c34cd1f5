"""Targets: only addresses on the internet, and only at the moment of the connection."""

import ipaddress
import socket

import pytest

from webhooks.outgoing.targets import TargetPolicy, TargetRefused

PUBLIC = ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111")
PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("192.0.2.1", "198.18.0.1", "255.255.255.255", "168.63.129.16"),
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:1.1.1.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1"),
    *("2001:db8::1", "::127.0.0.1", "fec0::1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_on_the_internet_is_permitted(address: str) -> None:
    assert TargetPolicy().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_or_reserved_address_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert not TargetPolicy().permits(ipaddress.ip_address(address))
    with pytest.raises(ValueError, match="private or reserved"):
        TargetPolicy().read_url(f"https://{host}/hook")


@pytest.mark.parametrize("address", PRIVATE)
def test_no_socket_is_opened_to_a_private_address_whatever_name_led_to_it(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(TargetRefused):
        TargetPolicy().open_socket((family, socket.SOCK_STREAM, 6, "", (address, 443)))


def test_an_allowed_network_is_permitted_and_its_neighbours_are_not() -> None:
    policy = TargetPolicy(allowed_networks=(ipaddress.ip_network("10.1.2.0/24"),))
    assert policy.permits(ipaddress.ip_address("10.1.2.3"))
    assert not policy.permits(ipaddress.ip_address("10.1.3.3"))
    assert not policy.permits(ipaddress.ip_address("::ffff:10.1.2.3"))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "https://[]@/hook",
        "https://[:443]/hook",
        "ftp://example.org/",
        "https://",
        "/hook",
        "https://user:secret@example.org/",
        "https://example.org/#part",
        "https://example.org:99999/",
        "https://exa mple.org/",
        "https://b\u00fccher.example/",
        "https://example.org/\n",
    ],
)
def test_an_unsafe_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^Must "):
        TargetPolicy().read_url(url)


def test_http_is_accepted_when_the_operator_allows_it() -> None:
    assert (
        str(TargetPolicy(allow_http=True).read_url("http://example.org:8080/a?b=1")) == "http://example.org:8080/a?b=1"
    )
