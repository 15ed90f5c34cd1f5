"""What a gateway process loads."""

import subprocess
import sys


def test_the_gateway_loads_no_framework_of_the_services_no_error_reports_and_no_colours() -> None:
    names = ("fastapi", "sentry_sdk", "rich", "starlette")
    program = f"import sys, gateway.main; print(*(name in sys.modules for name in {names}))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", "False", "True"]
