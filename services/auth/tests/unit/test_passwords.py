"""Password policy and hashing."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import bcrypt
import pytest

from auth.errors import PasswordTooWeak
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy, common_passwords
from parley.errors import Overloaded

GOOD = "correct horse battery staple"


@pytest.fixture
def policy() -> PasswordPolicy:
    return PasswordPolicy(12, common_passwords())


@pytest.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    found = PasswordHasher(workers=1, queue=3)
    yield found
    found.close()


@pytest.mark.parametrize(
    "password", [GOOD, "x" * 11 + "y", "            .", "密码密码密码密码一二三四", "a" * 63 + "b" * 900]
)
def test_a_long_password_is_accepted(policy: PasswordPolicy, password: str) -> None:
    policy.check(password)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("eleven char", "too_short"),
        ("e\u0301" * 11, "too_short"),
        ("password123456", "too_common"),
        ("PassWord!!!!", "too_common"),
        ("aaaaaaaaaaaaaaaa", "too_common"),
        ("abcdabcdabcdabcd", "too_common"),
        ("987654321098", "too_common"),
        ("qwertyuiopas", "too_common"),
        ("Ada.Lovelace@example.org", "too_common"),
    ],
)
def test_a_short_or_common_password_is_refused(policy: PasswordPolicy, password: str, code: str) -> None:
    with pytest.raises(PasswordTooWeak) as refused:
        policy.check(password, names=["ada.lovelace@example.org"])
    assert refused.value.errors[0].code == code


def test_the_bundled_list_is_of_a_sensible_size() -> None:
    assert 5_000 < len(common_passwords()) <= 10_000


async def test_a_hash_names_its_parameters_and_verifies_both_unicode_forms(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("pässword " * 3)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify("pa\u0308ssword " * 3, stored)
    assert not await hasher.verify("passwort " * 3, stored)
    assert not hasher.is_outdated(stored)


async def test_an_imported_bcrypt_hash_verifies_and_is_outdated(hasher: PasswordHasher) -> None:
    long = GOOD * 4
    stored = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    assert await hasher.verify(long, stored)
    assert not await hasher.verify("x" + long, stored)
    assert hasher.is_outdated(stored)


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$broken", "$2b$12$short"])
async def test_a_hash_that_cannot_be_read_verifies_nothing(hasher: PasswordHasher, stored: str) -> None:
    assert not await hasher.verify(GOOD, stored)


async def test_no_password_matches_the_dummy_hash(hasher: PasswordHasher) -> None:
    assert not await hasher.verify("", await hasher.dummy())


async def test_a_full_queue_refuses_further_hashes(hasher: PasswordHasher) -> None:
    stored = await hasher.dummy()
    outcomes = await asyncio.gather(*(hasher.verify("x", stored) for _ in range(10)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert len(refused) >= 10 - 3 - 1
    assert outcomes.count(False) == 10 - len(refused)


async def test_a_cancelled_caller_does_not_free_its_thread(hasher: PasswordHasher) -> None:
    began, go_on = threading.Event(), threading.Event()

    def block() -> bool:
        began.set()
        return go_on.wait(10)

    async def leave() -> None:
        async with hasher.slot() as slot:
            await slot._run(block)

    leaving = asyncio.create_task(leave())
    await asyncio.to_thread(began.wait, 10)
    leaving.cancel()
    await asyncio.wait({leaving})
    following = asyncio.create_task(hasher.verify("x", "plain"))
    await asyncio.sleep(0)
    assert not following.done()
    go_on.set()
    assert await asyncio.wait_for(following, 10) is False


async def test_the_logins_of_one_client_do_not_hold_up_those_of_another() -> None:
    with contextlib.closing(PasswordHasher(workers=1, queue=8)) as hasher:
        order: list[str] = []

        async def check(client: str) -> None:
            async with hasher.slot(client):
                order.append(client)
                await asyncio.sleep(0)

        await asyncio.gather(*(check(client) for client in ("busy", "busy", "busy", "other")))
    assert order == ["busy", "other", "busy", "busy"]


async def test_one_client_cannot_fill_the_queue() -> None:
    with contextlib.closing(PasswordHasher(workers=1, queue=4)) as hasher:

        async def check(client: str) -> None:
            async with hasher.slot(client):
                pass

        async with hasher.slot("first"):
            waiting = [asyncio.create_task(check(client)) for client in ("busy", "busy", "busy", "other", "third")]
            done, _ = await asyncio.wait(waiting, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            assert done == {waiting[2]}
            assert isinstance(waiting[2].exception(), Overloaded)
        await asyncio.gather(*waiting[:2], *waiting[3:])
