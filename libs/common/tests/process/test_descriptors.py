"""The limit on open files, in a child process, because a hard limit cannot be raised again."""

import subprocess
import sys

PROGRAM = """
import resource
from parley.process.descriptors import accept_backlog, raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 3200))
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE), accept_backlog())
"""


def test_the_soft_limit_is_raised_to_the_hard_limit() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3200", "3200", "3200", "100"]
