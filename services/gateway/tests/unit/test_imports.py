"""What a gateway process loads."""

import subprocess
import sys


def test_the_gateway_loads_neither_the_framework_of_the_services_nor_error_reports() -> None:
    program = (
        "import sys, gateway.main; print(*(name in sys.modules for name in ('fastapi', 'sentry_sdk', 'starlette')))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", "True"]
