"""HTTP server of the local model, llama.cpp's own: `python -m parley_cli.model.server`.

It is a separate process because llama.cpp serves inside the process that imports it, and because an instruction that
the CPU does not support ends that process.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 8192
"""The length that the model was trained with. Each slot has its own share of `n_ctx`: one shared pool would fail every
running answer when the answers together overflow it."""
MAX_OUTPUT_TOKENS = 1024
SLOTS = 2
MODEL_NAME = "smollm2-135m-instruct"
VERBOSITY = 1
"""Errors and warnings only: higher levels log prompts."""


def main() -> None:
    """Load the weights, print one line when the server listens, then wait for a signal."""
    options = _parser().parse_args()
    import xllamacpp  # 100 MB of native code

    server = xllamacpp.Server(configure(xllamacpp.CommonParams(), options))
    sys.stdout.write(f"ready {server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


def configure(params: Any, options: argparse.Namespace) -> Any:
    """Set the limits of a request, and disable the pages that show the prompts of other requests."""
    params.model.path = str(options.weights)
    params.model_alias = {MODEL_NAME}
    params.hostnames, params.port = [options.host], options.port
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT_TOKENS
    params.n_predict = MAX_OUTPUT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.cache_ram_mib = 0
    params.verbosity = VERBOSITY
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.cors_origins = ""
    return params


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    # Leaves one core to the event loop of the services.
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    return parser


if __name__ == "__main__":
    main()
