"""Settings that are URLs."""

from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from parley.config.urls import PostgresUrl, RedisUrl, WebUrl, is_origin

VALID = [
    (WebUrl, "https://chat.example.org"),
    (WebUrl, "http://[::1]:8000/base"),
    (PostgresUrl, "postgresql://u:p@one:5432,two:5432/parley?target_session_attrs=read-write"),
    (PostgresUrl, "postgres:///parley?host=/run/postgresql"),
    (RedisUrl, "rediss://:p@redis:6379/0?ssl_ca_certs=/ca.pem"),
    (RedisUrl, "redis+sentinel://one:26379,two:26379/main"),
    (RedisUrl, "unix:///run/redis.sock?db=1"),
]
INVALID = [
    (WebUrl, "chat.example.org"),
    (WebUrl, "ftp://chat.example.org"),
    (WebUrl, "https:///path"),
    (WebUrl, "http://chat:port"),
    (PostgresUrl, "host=db dbname=parley"),
    (PostgresUrl, "mysql://db/parley"),
    (PostgresUrl, "postgresql://one:5432,two:port/parley"),
    (RedisUrl, "nonsense"),
    (RedisUrl, "http://redis:6379"),
    (RedisUrl, "redis:6379"),
]


@pytest.mark.parametrize(("kind", "text"), VALID)
def test_urls_of_servers_are_accepted_as_they_are(kind: Any, text: str) -> None:
    found = TypeAdapter(kind).validate_python(text)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == text


@pytest.mark.parametrize(("kind", "text"), INVALID)
def test_other_texts_are_refused_with_the_form_and_without_the_text(kind: Any, text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(text)
    (error,) = refused.value.errors()
    assert "must be a URL " in error["msg"]
    assert text not in error["msg"]


@pytest.mark.parametrize("text", ["https://a.example", "http://localhost:*", "http://[::1]:3000", "https://a.example/"])
def test_origins_have_a_scheme_and_a_host(text: str) -> None:
    assert is_origin(text)


@pytest.mark.parametrize("text", ["a.example", "*", "https://a.example/app", "https://*.example:x", "null", "https://"])
def test_other_texts_are_no_origins(text: str) -> None:
    assert not is_origin(text)
