"""Demo account: generated once, with its password in a file that only the folder's owner can read."""

from dataclasses import dataclass, field
from pathlib import Path

from auth.audit.model import OPERATOR
from auth.container import AuthServices
from parley.errors import NotFound
from parley_embedded.private_files import write_private
from parley_embedded.secret_files import new_secret, read_secret

USERNAME = "demo"
EMAIL = "demo@example.org"
FILE_NAME = "demo-password"


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """Username and password of the demo account. A password that is not yet in the file is new."""

    username: str
    password: str = field(repr=False)
    is_new: bool = False


def demo_login(folder: Path) -> DemoLogin:
    """Return the login of this data folder. Its password is new when the file is missing, empty or damaged."""
    stored = read_secret(folder / FILE_NAME)
    return DemoLogin(USERNAME, stored or new_secret(), is_new=stored is None)


async def ensure_demo_account(auth: AuthServices, login: DemoLogin, folder: Path) -> None:
    """Create the demo account when it does not exist. An existing one gets the password if that is new."""
    if login.is_new:
        await _reset_password(auth, login)
    await auth.accounts.ensure(username=login.username, password=login.password, email=EMAIL)
    if login.is_new:
        write_private(folder / FILE_NAME, login.password)


async def _reset_password(auth: AuthServices, login: DemoLogin) -> None:
    try:
        reset = await auth.operator.issue_reset(login.username)
    except NotFound:
        return
    await auth.password_resets.use(reset.link.token, login.password, OPERATOR)
