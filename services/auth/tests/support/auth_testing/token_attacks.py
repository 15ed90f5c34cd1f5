"""Attacks on access tokens: each builds a token from what an issuer has, keys included."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from parley_testing.security.token_issuer import ISSUER, TestIssuer

Forge = Callable[[TestIssuer], str]


def b64(raw: bytes | Mapping[str, Any]) -> str:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header(issuer: TestIssuer, **members: Any) -> dict[str, Any]:
    return {"alg": "EdDSA", "typ": "at+jwt", "kid": issuer.kid} | members


def signed(issuer: TestIssuer, head: bytes | Mapping[str, Any], claims: bytes | Mapping[str, Any]) -> str:
    """Return a token with any header and claims, signed with the right key."""
    text = f"{b64(head)}.{b64(claims)}"
    return f"{text}.{b64(issuer.key.sign(text.encode()))}"


def with_header(**members: Any) -> Forge:
    return lambda issuer: signed(issuer, header(issuer, **members), issuer.claims())


def without_header(name: str) -> Forge:
    return lambda issuer: signed(issuer, {k: v for k, v in header(issuer).items() if k != name}, issuer.claims())


def with_claims(**members: Any) -> Forge:
    return lambda issuer: signed(issuer, header(issuer), issuer.claims() | members)


def without_claim(name: str) -> Forge:
    return lambda issuer: signed(issuer, header(issuer), {k: v for k, v in issuer.claims().items() if k != name})


def foreign_key(issuer: TestIssuer) -> str:
    head, claims = b64(header(issuer)), b64(issuer.claims())
    return f"{head}.{claims}.{b64(Ed25519PrivateKey.generate().sign(f'{head}.{claims}'.encode()))}"


def unsigned(issuer: TestIssuer, algorithm: str, signature: str = "") -> str:
    return f"{b64(header(issuer, alg=algorithm))}.{b64(issuer.claims())}.{signature}"


def hmac_with_public_key(form: str) -> Forge:
    def forge(issuer: TestIssuer) -> str:
        public = issuer.key.public_key()
        secret = {
            "raw": public.public_bytes_raw(),
            "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "jwk": json.dumps(issuer.jwks()["keys"][0]).encode(),
        }[form]
        text = f"{b64(header(issuer, alg='HS256'))}.{b64(issuer.claims())}"
        return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    return forge


def other_algorithm(algorithm: str) -> Forge:
    def forge(issuer: TestIssuer) -> str:
        key: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm == "ES256"
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        return jwt.encode(issuer.claims(), key, algorithm=algorithm, headers=header(issuer, alg=algorithm))

    return forge


def embedded_key(issuer: TestIssuer) -> str:
    own = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key()))
    text = f"{b64(header(issuer, jwk=jwk, kid='mine'))}.{b64(issuer.claims())}"
    return f"{text}.{b64(own.sign(text.encode()))}"


def tampered(issuer: TestIssuer) -> str:
    head, _, signature = issuer.token().split(".")
    return f"{head}.{b64(issuer.claims() | {'scope': 'admin'})}.{signature}"


def duplicated_claims(issuer: TestIssuer) -> str:
    raw = json.dumps(issuer.claims())[:-1] + ', "exp": 1}'
    return signed(issuer, header(issuer), raw.encode())


def flipped_signature_bit(issuer: TestIssuer) -> str:
    text, _, signature = issuer.token().rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[0] ^= 1
    return f"{text}.{b64(bytes(raw))}"


def spare_bits(issuer: TestIssuer) -> str:
    """Change the last character so that the same bytes are decoded: 86 characters hold 4 bits too many."""
    token = issuer.token()
    text, last = token[:-1], token[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text + alphabet[alphabet.index(last) ^ 1]


def with_times(**seconds: int) -> Forge:
    """Set time claims to offsets in seconds from now."""

    def forge(issuer: TestIssuer) -> str:
        now = int(time.time())
        return with_claims(**{name: now + offset for name, offset in seconds.items()})(issuer)

    return forge


def part_changed(position: int, change: Callable[[str], str]) -> Forge:
    def forge(issuer: TestIssuer) -> str:
        parts = issuer.token().split(".")
        parts[position] = change(parts[position])
        return ".".join(parts)

    return forge


ATTACKS: dict[str, Forge] = {
    **{f"algorithm {name}": partial(unsigned, algorithm=name) for name in ("none", "None", "NONE", "nOnE", "")},
    "none with a signature": lambda i: unsigned(i, "none", i.token().rpartition(".")[2]),
    **{f"HS256 with the public key as {form}": hmac_with_public_key(form) for form in ("raw", "pem", "der", "jwk")},
    "ES256 under an Ed25519 kid": other_algorithm("ES256"),
    "RS256": other_algorithm("RS256"),
    "PS256": other_algorithm("PS256"),
    "algorithm that is a number": with_header(alg=1),
    "algorithm that is a list": with_header(alg=["EdDSA"]),
    "algorithm null": with_header(alg=None),
    "Ed448": with_header(alg="Ed448"),
    "no algorithm": without_header("alg"),
    "no kid": without_header("kid"),
    "kid unknown": with_header(kid="unknown"),
    "kid that is a path": with_header(kid="../../../../etc/passwd"),
    "kid that is /dev/null": with_header(kid="/dev/null"),
    "kid with SQL": with_header(kid="' OR '1'='1"),
    "kid with a NUL": with_header(kid="test-key\x00"),
    "kid that is huge": with_header(kid="k" * 6000),
    "kid that is a number": with_header(kid=7),
    "kid that is a list": with_header(kid=["test-key"]),
    "kid that is an address": with_header(kid="http://127.0.0.1:9/jwks.json"),
    "jku with an unknown kid": with_header(jku="http://127.0.0.1:9/jwks.json", kid="x"),
    "x5u with an unknown kid": with_header(x5u="http://127.0.0.1:9/cert.pem", kid="x"),
    "an embedded key": embedded_key,
    "crit unknown": with_header(crit=["exp"]),
    "crit empty": with_header(crit=[]),
    "crit b64": with_header(crit=["b64"], b64=False),
    "no type": without_header("typ"),
    "type JWT": with_header(typ="JWT"),
    "type of an id token": with_header(typ="id_token"),
    "type of a logout token": with_header(typ="logout+jwt"),
    "type null": with_header(typ=None),
    **{
        f"no {name}": without_claim(name)
        for name in ("exp", "iat", "iss", "aud", "sub", "jti", "sid", "client_id", "scope")
    },
    "expired": with_times(exp=-120),
    "not valid yet": with_times(nbf=120),
    "issued in the future": with_times(iat=120),
    "exp that is text": with_claims(exp="tomorrow"),
    "exp infinite": lambda i: signed(
        i, header(i), json.dumps(i.claims() | {"exp": 0}).replace('"exp": 0', '"exp": Infinity').encode()
    ),
    "exp negative": with_claims(exp=-1),
    "another audience": with_claims(aud="other"),
    "audience among others": with_claims(aud=["parley", "other"]),
    "audience empty": with_claims(aud=[]),
    "another issuer": with_claims(iss="http://localhost:8001"),
    "issuer with a slash": with_claims(iss=f"{ISSUER}/"),
    "issuer in a list": with_claims(iss=[ISSUER]),
    "subject that is no id": with_claims(sub="admin"),
    "subject that is a number": with_claims(sub=1),
    "duplicate claims": duplicated_claims,
    "another key": foreign_key,
    "claims changed": tampered,
    "signature of zeros": lambda i: i.token().rpartition(".")[0] + "." + b64(b"\0" * 64),
    "signature cut": part_changed(2, lambda s: s[:-4]),
    "signature bit flipped": flipped_signature_bit,
    "no signature": part_changed(2, lambda _: ""),
    "payload that is no object": lambda i: signed(i, header(i), b"[]"),
    "payload that is no JSON": lambda i: signed(i, header(i), b"\xff\xfe"),
    "payload nested deep": lambda i: signed(i, header(i), b"[" * 3000),
    "header that is no object": lambda i: signed(i, b"[]", i.claims()),
    "header nested deep": lambda i: signed(i, b'{"a":' * 1000, i.claims()),
    "base64 with padding": part_changed(1, lambda s: s + "=="),
    "base64 with a line break": part_changed(0, lambda s: s[:5] + "\n" + s[5:]),
    "base64 of the other alphabet": part_changed(0, lambda s: "+/" + s),
    "signature with spare bits set": spare_bits,
    "signature with rubbish between": part_changed(2, lambda s: s[:9] + "%" + s[9:]),
    "two parts": lambda i: i.token().rpartition(".")[0],
    "four parts": lambda i: i.token() + ".x",
    "five parts, encrypted": lambda _: "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..a.b.c",
    "empty": lambda _: "",
    "dots": lambda _: "..",
    "huge": lambda i: i.token() + "A" * 100_000,
    "not ASCII": lambda i: i.token() + "é",
    "a refresh token": lambda _: "prt_" + "a" * 43,
    "an API key": lambda _: "parley_" + "a" * 38,
}
