# mypy: ignore-errors
"""Examples for rules.yaml: `ruleid` stands before code that a rule must find, `ok` before code that it must not find."""

import asyncio
import functools
import gzip
import hmac
import json
import pickle
import re
import subprocess
import unicodedata
import zlib
from functools import cache

import jwt
import orjson
import yaml


def normalization(text):
    # ruleid: unbounded-normalization
    return unicodedata.normalize("NFKC", text)


def normalized_by_the_bounded_function(text, bounded):
    # ok: unbounded-normalization
    return bounded.normalize("NFKC", text)


def patterns(words, text):
    # ruleid: regex-from-data
    found = re.compile("|".join(words))
    # ruleid: regex-from-data
    re.search(words[0], text)
    # ruleid: regex-from-data
    re.sub(f"{words}+", "", text)
    # ok: regex-from-data
    return re.search("a+", text), found


# ruleid: nested-quantifier
BACKTRACKS = re.compile("^(a+)+$")
# ruleid: nested-quantifier
BACKTRACKS_TOO = re.compile(r"(?:\w*\s*)*x")
# ok: nested-quantifier
LINEAR = re.compile("(?:[a-z]+)x+")


def parsed(text):
    # ruleid: lenient-json
    json.loads(text)
    # ok: lenient-json
    return orjson.loads(text)


def headers_of(scope, request):
    # ruleid: duplicate-headers-lost
    first = dict(scope["headers"])
    # ruleid: duplicate-headers-lost
    second = {name: value for name, value in scope["headers"]}
    # ok: duplicate-headers-lost
    return [value for name, value in scope["headers"] if name == b"host"], first, second


# ruleid: unbounded-cache
@cache
def of_a_user(user_id):
    return user_id


# ruleid: unbounded-cache
@functools.cache
def of_another_user(user_id):
    return user_id


# ok: unbounded-cache
@cache
def constant():
    return 1


# ok: unbounded-cache
@functools.lru_cache(maxsize=100)
def of_few_users(user_id):
    return user_id


# ruleid: unbounded-cache
keep = functools.lru_cache(maxsize=None)
# ruleid: unbounded-queue
GROWS = asyncio.Queue()
# ok: unbounded-queue
IS_BOUNDED = asyncio.Queue(100)


def decompress(data):
    # ruleid: decompression-bomb
    gzip.decompress(data)
    # ok: decompression-bomb
    return zlib.decompressobj().decompress(data, 100)


async def children(command, environment):
    # ruleid: child-inherits-environment
    subprocess.run(command, check=True)
    # ruleid: child-inherits-environment
    await asyncio.create_subprocess_exec(*command)
    # ok: child-inherits-environment
    subprocess.run(command, check=True, env=environment)
    # ok: child-inherits-environment
    await asyncio.create_subprocess_exec(*command, env=environment)


def same(given, client, row):
    # ruleid: secret-compared
    if client.secret == given:
        return True
    # ok: secret-compared
    if row.kind == given:
        return True
    # ok: secret-compared
    return hmac.compare_digest(client.secret, given)


def loaded(data):
    # ruleid: untrusted-deserialization
    pickle.loads(data)
    # ok: untrusted-deserialization
    return yaml.safe_load(data)


def claims(token, key):
    # ruleid: unverified-token
    jwt.decode(token, options={"verify_signature": False})
    # ok: unverified-token
    return jwt.decode(token, key, algorithms=["EdDSA"])


def stored(secret_path, log_path, text):
    # ruleid: secret-written-in-place
    secret_path.write_text(text)
    # ok: secret-written-in-place
    log_path.write_text(text)
