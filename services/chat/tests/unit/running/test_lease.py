"""Validity and stability of a runner's lease."""

from chat.running.lease import LEASE_LENGTH
from chat_testing.bench import EngineBench


async def test_a_lease_is_stable_after_one_length_of_successful_renewals() -> None:
    bench = EngineBench()
    assert not bench.lease.held()
    await bench.lease.renew()
    assert bench.lease.held()
    for _ in range(9):
        assert not bench.lease.stable()
        bench.now += 1
        await bench.lease.renew()
    assert bench.lease.stable()
    bench.turns.unavailable = True
    await bench.lease.renew()
    assert bench.lease.held()
    assert not bench.lease.stable()
    bench.now += LEASE_LENGTH
    assert not bench.lease.held()


async def test_an_unforeseen_error_does_not_end_the_renewals() -> None:
    bench = EngineBench()
    bench.turns.failure = RuntimeError("unforeseen")
    await bench.lease.renew()
    assert not bench.lease.held()
    bench.turns.failure = None
    await bench.lease.renew()
    assert bench.lease.held()


async def test_a_renewal_delivers_requested_cancellations() -> None:
    bench = EngineBench()
    turn = await bench.admit()
    await bench.turns.request_cancel(turn.id)
    await bench.lease.renew()
    assert bench.cancelled == [turn.id]
