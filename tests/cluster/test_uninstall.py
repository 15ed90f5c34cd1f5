"""The end of the installation: no turn is wrong, and deleting the overlay leaves nothing."""

from pathlib import Path

import pytest

from parley_testing import eventually
from parley_testing.deployment.cluster import Cluster

pytestmark = pytest.mark.chaos

VERIFIED_TIMEOUT = 300.0


async def test_in_the_end_no_turn_is_wrong(replicated: Cluster) -> None:
    def agrees() -> str:
        done = replicated.status("exec", "deployment/chat", "--", "parley", "verify")
        assert done.returncode == 0, done.stdout
        return done.stdout.strip().splitlines()[-1]

    print(f"\nparley verify: {await eventually(agrees, within=VERIFIED_TIMEOUT)}")


def test_deleting_the_overlay_removes_the_namespace_and_everything_in_it(replicated: Cluster, root: Path) -> None:
    replicated.kubectl("delete", "-k", str(root / "deploy/k8s/overlays/dev"), "--ignore-not-found", "--timeout=600s")

    assert not replicated.exists("namespace", replicated.namespace)
