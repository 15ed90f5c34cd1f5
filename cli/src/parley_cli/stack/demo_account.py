"""Demo account: generated once, with its password in a file that only the folder's owner can read."""

from dataclasses import dataclass
from pathlib import Path

from auth.container import AuthServices
from parley_embedded.secret_files import read_or_create_secret

USERNAME = "demo"
EMAIL = "demo@example.org"


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """Username and password of the demo account."""

    username: str
    password: str


def demo_login(folder: Path) -> DemoLogin:
    """Return the login of this data folder, created by the first call."""
    return DemoLogin(USERNAME, read_or_create_secret(folder / "demo-password"))


async def ensure_demo_account(auth: AuthServices, login: DemoLogin) -> None:
    """Create the demo account when it does not exist."""
    await auth.accounts.ensure(username=login.username, password=login.password, email=EMAIL)
