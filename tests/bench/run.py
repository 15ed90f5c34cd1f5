"""Run a benchmark by name: `make bench ARGS=relay`, `make bench-gateway`. Without a name: all of them."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHES = ("gateway", "relay", "tokens", "turns", "memory", "slow", "soak", "streams", "latency")


def main(arguments: list[str]) -> int:
    """Run the named benchmark with the other arguments, or every one."""
    names = [arguments[0]] if arguments and arguments[0] in BENCHES else list(BENCHES)
    rest = arguments[1:] if arguments and arguments[0] in BENCHES else arguments
    sys.path.insert(0, str(FOLDER))
    for name in names:
        print(f"== {name}", flush=True)
        sys.argv = [f"{name}.py", *rest]
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
