"""Become another program that ends with its parent.

Run as a script, never imported by the parent: the wish to die with the parent has to be made between fork and exec, and
a Python function run there (preexec_fn) can deadlock in a process with threads.

Arguments: the parent's pid, the signal wanted at its death (0: none), the limit of open files (0: unchanged), the
command.
"""

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
COMMAND_NOT_FOUND = 127


def main(arguments: list[str]) -> int:
    """Replace this process by the command; return an exit status only when that fails."""
    parent, death_signal, open_files = (int(argument) for argument in arguments[:3])
    command = arguments[3:]
    if open_files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    if death_signal and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            return COMMAND_NOT_FOUND
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return COMMAND_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
