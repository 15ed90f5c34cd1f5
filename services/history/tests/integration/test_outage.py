"""Postgres away: requests are refused at once, events wait."""

import pytest

pytestmark = pytest.mark.integration
