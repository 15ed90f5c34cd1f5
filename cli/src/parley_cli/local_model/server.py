"""HTTP server of the local model, llama.cpp's own: `python -m parley_cli.local_model.server`.

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
SYSTEM_PROMPT = "You are a helpful assistant. Answer briefly and correctly."
"""For conversations without one: the model wanders without instructions."""
REPEAT_PENALTY = 1.1
"""For requests without one: a model of this size repeats itself otherwise."""
CHAT_TEMPLATE = f"""\
{{%- if messages[0].role != 'system' %}}<|im_start|>system
{SYSTEM_PROMPT}<|im_end|>
{{% endif %}}{{% for message in messages %}}<|im_start|>{{{{ message.role }}}}
{{{{ message.content }}}}<|im_end|>
{{% endfor %}}{{% if add_generation_prompt %}}<|im_start|>assistant
{{% endif %}}"""
"""The template of the weights file, with our system prompt."""
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
    """Set the limits and defaults of a request, and disable the pages that show the prompts of other requests.

    Without a `temperature`, the model takes the most likely token: at 0.8, its answers make little sense.
    """
    params.model.path = str(options.weights)
    params.model_alias = {MODEL_NAME}
    params.hostnames, params.port = [options.host], options.port
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT_TOKENS
    params.n_predict = MAX_OUTPUT_TOKENS
    params.chat_template = CHAT_TEMPLATE
    params.sampling.temp, params.sampling.penalty_repeat = 0.0, REPEAT_PENALTY
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
