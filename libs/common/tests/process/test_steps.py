"""Steps of background loops."""

from parley.errors import DependencyUnavailable
from parley.process.loop_steps import run_step


class Step:
    """A step that raises the errors in turn."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


async def test_a_failed_step_is_reported_and_does_not_end_its_loop() -> None:
    step = Step(DependencyUnavailable(), RuntimeError("unforeseen"))
    assert [await run_step("purge", step) for _ in range(3)] == [False, False, True]
