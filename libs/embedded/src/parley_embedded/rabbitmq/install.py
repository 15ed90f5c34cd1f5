"""Find or fetch a RabbitMQ to run privately."""

import shutil
from pathlib import Path

from parley_embedded.binaries.debian import unpack_debian
from parley_embedded.errors import EmbeddedError

ERLANG_PARTS = (
    *("asn1", "base", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools", "public-key"),
    *("runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools", "xmerl"),
)
DEBIAN_PACKAGES = ("rabbitmq-server", *(f"erlang-{part}" for part in ERLANG_PARTS))
SERVER_SCRIPTS = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"
ERL_SCRIPTS = ("usr/lib/erlang/bin/erl", "usr/lib/erlang/erts-*/bin/erl")
ERL_ROOT_VARIABLE = "PARLEY_ERL_ROOT"
SYSTEM = Path("/")
HINT = "Install rabbitmq-server, or set AMQP_URL."


async def ensure_rabbitmq(cache_dir: Path) -> Path:
    """Return the root below which RabbitMQ and Erlang lie; EmbeddedError when they cannot be had.

    The files unpacked earlier into `cache_dir/rabbitmq`, else an installed RabbitMQ (its files only, never its broker),
    else Debian's packages are downloaded and unpacked, without root and without installing anything.
    """
    cached = cache_dir / "rabbitmq"
    if not cached.exists() and is_installed(SYSTEM):
        return SYSTEM
    return await unpack_debian("rabbitmq", DEBIAN_PACKAGES, cache_dir, hint=HINT, finish=make_relocatable)


def is_installed(root: Path) -> bool:
    """Tell whether RabbitMQ and an Erlang lie below the root."""
    erlang = shutil.which("erl", path=str(root / "usr/bin")) and (root / "usr/bin/epmd").exists()
    return bool(erlang) and any(root.glob(SERVER_SCRIPTS))


def server_scripts(root: Path) -> Path:
    """Return the folder of `rabbitmq-server` and `rabbitmqctl`; EmbeddedError when it is absent."""
    found = sorted(root.glob(SERVER_SCRIPTS))
    if not found:
        raise EmbeddedError(f"No RabbitMQ below {root}: remove that folder to download it again. {HINT}")
    return found[-1].parent


def make_relocatable(root: Path) -> None:
    """Let Debian's `erl` look for Erlang where a variable says: it ignores ERL_ROOTDIR."""
    for pattern in ERL_SCRIPTS:
        for script in root.glob(pattern):
            text = script.read_text()
            script.write_text(text.replace("ROOTDIR=/usr/lib/erlang", f'ROOTDIR="${ERL_ROOT_VARIABLE}"'))
