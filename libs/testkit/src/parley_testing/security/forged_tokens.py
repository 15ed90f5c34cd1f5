"""Forged access tokens: everything that can be built from a valid token and public keys."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

UNSIGNED = ["none", "None", "NONE", "nOnE", "", "null"]
SYMMETRIC = ["HS256", "HS384", "HS512"]
KEY_IDS = ["", "../../dev/null", "' OR 1=1 --", "/dev/null\x00", "a" * 65, "a" * 5000, "http://evil.example/key"]
REPEATED = b'{"alg":"none","typ":"at+jwt","alg":"EdDSA"}'
HEADERS: list[dict[str, Any]] = [
    {"typ": "JWT"},
    {"typ": None},
    {"crit": ["b64"], "b64": False},
    {"crit": []},
    {"jku": "http://evil.example/jwks.json"},
    {"x5u": "http://evil.example/cert.pem"},
    {"x5c": ["AAAA"]},
    {"cty": "JWT"},
    {"alg": "ES256"},
    {"alg": "RS256"},
    {"alg": "EdDSA "},
    {"alg": ["EdDSA"]},
    {"kid": 1},
    {"kid": None},
    {"kid": ["a"]},
    {"kid": {"$ne": ""}},
]
CLAIMS: list[dict[str, Any]] = [
    {"scope": "account admin"},
    {"scope": "internal"},
    {"sub": "00000000-0000-4000-8000-000000000000"},
    {"exp": 9_999_999_999},
    {"exp": 1e400},
    {"exp": "never"},
    {"iat": 0},
    {"nbf": 9_999_999_999},
    {"aud": "another"},
    {"aud": ["parley"]},
    {"iss": "http://evil.example"},
    {"plan": "unlimited"},
    {"sid": "another"},
    {"auth_time": 9_999_999_999},
    {"sub": None},
    {},
]


@dataclass(frozen=True)
class Genuine:
    """A valid token in its parts, and the public key that verifies it."""

    token: str
    header: dict[str, Any]
    claims: dict[str, Any]
    jwk: dict[str, Any]


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def foreign(genuine: Genuine, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token with a good signature of a foreign key."""
    key = Ed25519PrivateKey.generate()
    signed = f"{part({**genuine.header, **header})}.{part({**genuine.claims, **claims})}"
    return f"{signed}.{part(key.sign(signed.encode()))}"


def forged(genuine: Genuine) -> Iterator[tuple[str, str]]:
    """Yield each forged token with its name. No key of the product is used."""
    head, body, signature = genuine.token.split(".")
    for algorithm in UNSIGNED:
        unsigned = f"{part({**genuine.header, 'alg': algorithm})}.{body}."
        yield f"alg {algorithm!r}", unsigned
        yield f"alg {algorithm!r} with a signature", unsigned + signature
    yield from _confused(genuine)
    for header in HEADERS:
        yield f"header {header}", foreign(genuine, header, {})
        yield f"header {header} over a good signature", f"{part({**genuine.header, **header})}.{body}.{signature}"
    for kid in KEY_IDS:
        yield f"kid {kid[:20]!r}", foreign(genuine, {"kid": kid}, {})
    for claims in CLAIMS:
        yield f"claims {claims}", foreign(genuine, {}, claims)
        yield (
            f"claims {claims} over a good signature",
            f"{head}.{part({**genuine.claims, **claims, 'x': 1})}.{signature}",
        )
    key = Ed25519PrivateKey.generate()
    embedded = {"jwk": OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)}
    signed = f"{part({**genuine.header, **embedded})}.{body}"
    yield "the key in the token", f"{signed}.{part(key.sign(signed.encode()))}"
    yield from _mangled(genuine.token, head, body, signature)


def _confused(genuine: Genuine) -> Iterator[tuple[str, str]]:
    """Yield tokens whose symmetric key is the public key in one of its forms."""
    public = OKPAlgorithm.from_jwk(genuine.jwk).public_bytes(Encoding.Raw, PublicFormat.Raw)  # type: ignore[union-attr]
    secrets = {
        "raw": public, "base64": genuine.jwk["x"].encode(), "JSON": json.dumps(genuine.jwk).encode(), "empty": b"",
    }  # fmt: skip
    for algorithm in SYMMETRIC:
        for form, secret in secrets.items():
            signed = f"{part({**genuine.header, 'alg': algorithm})}.{part(genuine.claims)}"
            digest = jwt.algorithms.get_default_algorithms()[algorithm].sign(signed.encode(), secret)
            yield f"{algorithm} with the public key, {form}", f"{signed}.{part(digest)}"


def _mangled(token: str, head: str, body: str, signature: str) -> Iterator[tuple[str, str]]:
    other = "A" if signature[3] != "A" else "B"
    yield from {
        "a changed signature": f"{head}.{body}.{signature[:3]}{other}{signature[4:]}",
        "half a signature": f"{head}.{body}.{signature[:43]}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{token}.{signature}",
        "five parts": f"{token}.{signature}.{signature}",
        "parts in another order": f"{body}.{head}.{signature}",
        "a header that is no JSON": f"{part(b'{')}.{body}.{signature}",
        "a header that is a list": f"{part([])}.{body}.{signature}",
        "a repeated member": f"{part(REPEATED)}.{body}.{signature}",
        "JSON serialization": json.dumps({"payload": body, "protected": head, "signature": signature}),
        "NUL at the end": f"{token}%00",
        "a token twice": f"{token}, {token}",
        "a space inside": f"{head}. {body}.{signature}",
        "9,000 characters": "a" * 9000,
        "dots": ".." * 100,
        "an empty API key": "parley_",
        "an API key of zeros": "parley_" + "0" * 38,
        "JavaScript's undefined": "undefined",
    }.items()
