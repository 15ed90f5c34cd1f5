"""Run a benchmark by name: `make bench ARGS=relay`, `make bench-gateway`, `make bench-history`.

Without a name: all of them. One that fails does not keep the next ones from running.
"""

import runpy
import sys
import traceback
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SUPPORT = FOLDER.parents[1].glob("services/*/tests/support")
"""Folders of test doubles, which some benchmarks share with the tests of a service."""
BENCHES = (
    "gateway",
    "watch",
    "relay",
    "events",
    "deliveries",
    "projection",
    "tokens",
    "turns",
    "memory",
    "slow",
    "soak",
    "streams",
    "latency",
    "history_reads",
)


def main(arguments: list[str]) -> int:
    """Run the named benchmark with the other arguments, or every one."""
    names = [arguments[0]] if arguments and arguments[0] in BENCHES else list(BENCHES)
    rest = arguments[1:] if arguments and arguments[0] in BENCHES else arguments
    sys.path[:0] = [str(FOLDER), *map(str, SUPPORT)]
    return max(_run(name, rest) for name in names)


def _run(name: str, arguments: list[str]) -> int:
    """Return the exit status of a benchmark; a message or an exception counts as 1."""
    print(f"== {name}", flush=True)
    sys.argv = [f"{name}.py", *arguments]
    try:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # noqa: BLE001 - the next benchmark runs all the same
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
