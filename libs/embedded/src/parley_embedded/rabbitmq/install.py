"""Files of RabbitMQ and Erlang: installed ones, or downloaded Debian packages."""

import shutil
from pathlib import Path

from parley_embedded.binaries.debian import unpack_debian
from parley_embedded.errors import EmbeddedError

ERLANG_PACKAGES = (
    *("asn1", "base", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools", "public-key"),
    *("runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools", "xmerl"),
)
DEBIAN_PACKAGES = ("rabbitmq-server", *(f"erlang-{part}" for part in ERLANG_PACKAGES))
SERVER_SCRIPTS = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"
ERL_SCRIPTS = ("usr/lib/erlang/bin/erl", "usr/lib/erlang/erts-*/bin/erl")
ERL_ROOT_VARIABLE = "PARLEY_ERL_ROOT"
SYSTEM_ROOT = Path("/")
HINT = "Install rabbitmq-server, or set AMQP_URL."


async def ensure_rabbitmq(cache_dir: Path) -> Path:
    """Return the root folder of the files of RabbitMQ and Erlang; raise EmbeddedError when there are none.

    In this order: the files unpacked earlier into `cache_dir/rabbitmq`; an installed RabbitMQ (only its
    files, never its broker); Debian packages, downloaded and unpacked without root and without installing anything.
    """
    cached = cache_dir / "rabbitmq"
    if not cached.exists() and is_installed(SYSTEM_ROOT):
        return SYSTEM_ROOT
    return await unpack_debian("rabbitmq", DEBIAN_PACKAGES, cache_dir, hint=HINT, finish=make_relocatable)


def is_installed(root: Path) -> bool:
    """Return whether the root folder contains RabbitMQ and Erlang."""
    erlang = shutil.which("erl", path=str(root / "usr/bin")) and (root / "usr/bin/epmd").exists()
    return bool(erlang) and any(root.glob(SERVER_SCRIPTS))


def server_scripts(root: Path) -> Path:
    """Return the folder of `rabbitmq-server` and `rabbitmqctl`; raise EmbeddedError when it is missing."""
    found = sorted(root.glob(SERVER_SCRIPTS))
    if not found:
        raise EmbeddedError(f"{root} does not contain RabbitMQ. Remove that folder to download it again. {HINT}")
    return found[-1].parent


def make_relocatable(root: Path) -> None:
    """Make Debian's `erl` read the folder of Erlang from a variable, because it ignores ERL_ROOTDIR."""
    for pattern in ERL_SCRIPTS:
        for script in root.glob(pattern):
            text = script.read_text()
            script.write_text(text.replace("ROOTDIR=/usr/lib/erlang", f'ROOTDIR="${ERL_ROOT_VARIABLE}"'))
