"""Serve the local model with llama.cpp's own HTTP server until a signal comes: `python -m parley_cli.model.server`.

A process of its own, because the library serves inside the process that imports it, and a CPU that is too old ends that
process.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

# The model's training length. A slot has its own share of n_ctx; one pool for all slots would fail every running answer
# when together they overflow it.
CONTEXT_TOKENS = 8192
MAX_OUTPUT_TOKENS = 1024
SLOTS = 2
MODEL_NAME = "smollm2-135m-instruct"
QUIET = 1


def main() -> None:
    """Load the weights, print one line when requests are answered, wait for a signal."""
    options = _parser().parse_args()
    import xllamacpp  # 100 MB of native code

    server = xllamacpp.Server(parameters(xllamacpp.CommonParams(), options))
    sys.stdout.write(f"ready {server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


def parameters(values: Any, options: argparse.Namespace) -> Any:
    """Fill in the server's parameters: what a request may use, and none of the pages that show others' prompts."""
    values.model.path = str(options.weights)
    values.model_alias = {MODEL_NAME}
    values.hostnames, values.port = [options.host], options.port
    values.n_parallel, values.n_ctx = SLOTS, SLOTS * CONTEXT_TOKENS
    values.n_predict = MAX_OUTPUT_TOKENS
    values.cpuparams.n_threads = values.cpuparams_batch.n_threads = options.threads
    values.cache_ram_mib = 0
    values.verbosity = QUIET
    values.ui = values.endpoint_slots = values.endpoint_props = values.endpoint_metrics = False
    values.cors_origins = ""
    return values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    # One core stays with the services' event loop.
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    return parser


if __name__ == "__main__":
    main()
