"""Programs and configuration files of nginx and Envoy, as proxies and as the upstream."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley_embedded.binaries.debian import unpack_debian

BODY = '{"data":[{"id":"default","name":"bench","provider":"bench","available":true}],"next_cursor":null}'


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the upstream, the proxies and Redis."""

    upstream: int
    parley: int
    admin: int
    envoy: int
    nginx: int


def upstream_configuration(folder: Path, ports: Ports, jwks: str) -> str:
    """Return the configuration of nginx as an upstream that responds from memory."""
    return f"""
worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  {_temporary(folder, "upstream")}
  server {{
    listen 127.0.0.1:{ports.upstream};
    location = /.well-known/jwks.json {{ default_type application/json; return 200 '{jwks}'; }}
    location / {{ default_type application/json; return 200 '{BODY}'; }}
  }}
}}
"""


def nginx_configuration(folder: Path, ports: Ports) -> str:
    """Return the configuration of nginx as a proxy with a limit per address and no access log."""
    return f"""
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  {_temporary(folder, "nginx")}
  limit_req_zone $binary_remote_addr zone=address:1m rate=1000000r/s;
  upstream service {{ server 127.0.0.1:{ports.upstream}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{ports.nginx};
    location / {{
      limit_req zone=address burst=100000 nodelay;
      proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


def _temporary(folder: Path, name: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)


def envoy_configuration(
    ports: Ports, jwks: str, issuer: str, *, policy: bool, cache: bool, log: bool
) -> dict[str, Any]:
    """Return Envoy's configuration; ``policy`` verifies tokens and limits requests, ``cache`` caches tokens."""
    filters = [_jwt_filter(jwks, issuer, cache=cache), _limit_filter()] if policy else []
    router = {"name": "envoy.filters.http.router", "typed_config": _typed("filters.http.router.v3.Router")}
    manager: dict[str, Any] = {
        **_typed("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "edge",
        "codec_type": "HTTP1",
        "http_filters": [*filters, router],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
                }
            ]
        },
    }
    if log:
        manager["access_log"] = [_log()]
    listener = {
        "name": "edge",
        "address": _address(ports.envoy),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    cluster = {
        "name": "service",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(ports.upstream)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _jwt_filter(jwks: str, issuer: str, *, cache: bool) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": issuer,
        "audiences": ["parley"],
        "local_jwks": {"inline_string": jwks},
        "forward": True,
    }
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    config = {
        **_typed("filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": {"parley": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "parley"}}],
    }
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


def _limit_filter() -> dict[str, Any]:
    config = {
        **_typed("filters.http.local_ratelimit.v3.LocalRateLimit"),
        "stat_prefix": "limit",
        "token_bucket": {"max_tokens": 10_000_000, "tokens_per_fill": 10_000_000, "fill_interval": "1s"},
        "filter_enabled": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
        "filter_enforced": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
    }
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": config}


def _log() -> dict[str, Any]:
    json_format = {
        "ts": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "route": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "bytes": "%BYTES_SENT%",
        "duration_ms": "%DURATION%",
        "upstream_ms": "%RESPONSE_DURATION%",
    }
    config = {**_typed("access_loggers.stream.v3.StdoutAccessLog"), "log_format": {"json_format": json_format}}
    return {"name": "envoy.access_loggers.stdout", "typed_config": config}


def _typed(name: str) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/envoy.extensions.{name}"}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


async def find_nginx(tools: Path) -> Path:
    """Return the system's nginx, or Debian's, unpacked into the tools folder."""
    found = shutil.which("nginx")
    if found:
        return Path(found)
    root = await unpack_debian("nginx", ["nginx"], tools, hint="Install nginx.")
    return root / "usr/sbin/nginx"


def find_envoy(tools: Path) -> Path | None:
    """Return Envoy from the PATH or from an environment in the tools folder."""
    for found in (shutil.which("envoy"), tools / "envoy/bin/envoy"):
        if found and Path(found).exists():
            return Path(found)
    return None
