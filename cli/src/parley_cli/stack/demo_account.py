"""The demo login: generated once, kept where only the owner of the folder can read it."""

from dataclasses import dataclass
from pathlib import Path

from auth.wiring import Wired
from parley_embedded.secret_files import kept_secret

USERNAME = "demo"
EMAIL = "demo@example.org"


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and its password."""

    username: str
    password: str


def demo_login(folder: Path) -> Login:
    """Return the login of this folder, made when first asked for."""
    return Login(USERNAME, kept_secret(folder / "demo-password"))


async def ensure_demo(auth: Wired, login: Login) -> None:
    """Make sure that the login has an account."""
    await auth.accounts.ensure(username=login.username, password=login.password, email=EMAIL)
