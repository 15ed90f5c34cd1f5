"""Launcher script: replaces itself with another program that ends when the parent process ends.

The parent runs this file as a script and never imports it. The kernel must be told between fork and exec to end the
child with its parent, and a Python function at that point (`preexec_fn`) can deadlock in a process with threads.

Arguments: process ID of the parent, signal to receive when the parent ends (0: none), highest limit of open files
(0: unchanged), command.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
COMMAND_NOT_FOUND = 127


def main(arguments: list[str]) -> int:
    """Replace this process with the command. Returns an exit status only when that fails."""
    parent, death_signal, open_files = (int(argument) for argument in arguments[:3])
    command = arguments[3:]
    # A shell starts a background process with SIGINT ignored, and a program inherits that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if open_files:
        # Only root may raise the hard limit, and a low one is no reason not to start.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if death_signal and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            return COMMAND_NOT_FOUND
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell on purpose
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return COMMAND_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
