"""What a gateway process loads."""

import subprocess
import sys


def test_the_gateway_does_not_load_the_web_framework_of_the_services() -> None:
    program = "import sys, gateway.main; print('fastapi' in sys.modules, 'starlette' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
