"""Small parts: plans, CORS, compression, addresses of upstreams."""

import gzip
from pathlib import Path

import pytest

from gateway.access.cors import Cors
from gateway.access.plans import Plan, load_plans
from gateway.proxy import compression
from gateway.settings import GatewaySettings
from gateway.upstream.endpoint import parse_address
from parley.config.settings import SettingsError, load


def settings(**overrides: object) -> GatewaySettings:
    return load(GatewaySettings, redis_url="redis://localhost/0", **overrides)


def test_the_default_plan_comes_from_the_settings() -> None:
    plan = load_plans(settings(rate_limit_requests=7, rate_limit_window=3, rate_limit_burst=2)).find("default")
    assert plan.limits("ada")[0].numbers == (7, 3_000_000, 2)


def test_plans_come_from_the_file_and_unknown_ones_are_the_default(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text('gold: {requests_per_minute: 6000, burst: 1000, requests_per_day: 100, usd_per_day: "5"}\n')
    plans = load_plans(settings(plans_file=path))
    assert [limit.policy for limit in plans.find("gold").limits("ada")] == ["user", "user-day"]
    assert plans.find("unheard of") == plans.find("default")


@pytest.mark.parametrize("text", ["- a\n", "gold: {burst: 0}\n", "gold: [\n", "gold: {burst: 99999999999}\n"])
def test_a_wrong_plan_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        load_plans(settings(plans_file=path))


def test_day_and_minute_limits_apply_together() -> None:
    assert len(Plan(requests_per_day=5).limits("ada")) == 2


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:3000", True),
        (b"http://localhost", True),
        (b"http://localhost:3000.evil.example", False),
        (b"http://localhost.evil.example:3000", False),
        (b"https://chat.example.org", True),
        (b"https://chat.example.org.evil", False),
        (b"null", False),
    ],
)
def test_origins_are_compared_whole(origin: bytes, allowed: bool) -> None:
    assert Cors(["http://localhost:*", "https://chat.example.org"]).allows(origin) is allowed


def test_production_allows_no_origin_by_itself() -> None:
    assert settings().origins() == []
    assert settings(environment="development").origins() == ["http://localhost:*", "http://127.0.0.1:*"]


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        (b"gzip", True),
        (b"br, gzip;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0", False),
        (b"br", False),
        (b"", False),
    ],
)
def test_gzip_is_used_when_it_is_accepted(accepted: bytes, wanted: bool) -> None:
    assert compression.accepts_gzip(accepted) is wanted


def test_compressed_pieces_are_the_answer() -> None:
    compress, _ = compression.pieces([])
    assert gzip.decompress(compress.feed(b"a" * 100) + compress.finish(b"b")) == b"a" * 100 + b"b"


@pytest.mark.parametrize("url", ["localhost:80", "https://a", "http://a/path", "http://", "http://a:b", "http://u:p@a"])
def test_an_upstream_that_is_no_plain_address_is_one_clear_line(url: str) -> None:
    with pytest.raises(SettingsError, match="CHAT_URL"):
        parse_address(url, setting="CHAT_URL")
