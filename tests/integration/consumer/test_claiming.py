"""Where work comes from: messages are hints, and children go on without them."""

from collections.abc import Callable

from tests.integration.consumer.memory_broker import MemoryBroker
from tests.integration.consumer.yard import Yard, work

from tianyu.broker.interface import QueueAddress
from tianyu.consumer import claiming
from tianyu.consumer.claiming import HintedClaimer
from tianyu.manager.dispatcher import Dispatcher
from tianyu.schema.states import State
from tianyu.schema.transitions.claim import Claim, claim_next

SERVED = (State.QUEUED, State.READY)


def claimer(yard: Yard, broker: MemoryBroker, clock: Callable[[], float]) -> HintedClaimer:
    return HintedClaimer(yard.database, broker, (yard.queue_id,), "w", 60.0, SERVED, clock)


def send(broker: MemoryBroker, yard: Yard, pid: int) -> None:
    broker.publish(QueueAddress(yard.queue_id, "hill", "cpu"), [pid])


def take(yard: Yard) -> Claim | None:
    with yard.database.write() as connection:
        return claim_next(connection, [yard.queue_id], "w", 60.0, from_states=SERVED)


def test_the_most_urgent_is_taken_first_whether_it_was_handed_over_or_not(yard: Yard) -> None:
    pids = yard.publish(first=work("noop"), second=work("noop"))
    broker = MemoryBroker()
    Dispatcher(yard.database, broker).dispatch()
    later = yard.publish(third=work("noop"))
    order = [found.process_id for _ in range(3) if (found := take(yard))]
    assert order == [*pids.values(), *later.values()]
    assert take(yard) is None


def test_a_hint_that_came_too_late_leads_to_other_work_and_is_dropped(yard: Yard) -> None:
    pids = yard.publish(gone=work("noop"), other=work("noop"))
    broker = MemoryBroker()
    Dispatcher(yard.database, broker).dispatch()
    assert (found := take(yard)) is not None
    assert found.process_id == pids["gone"]
    following = claimer(yard, broker, lambda: 0.0)
    assert (other := following.claim()) is not None
    assert other.process_id == pids["other"]
    assert broker.unacknowledged == 0
    # The second hint is stale by now, and nothing else is there.
    assert following.claim() is None
    assert broker.unacknowledged == 0


def test_a_consumer_that_hears_nothing_looks_by_itself_now_and_then(yard: Yard) -> None:
    yard.publish(one=work("noop"))
    now = 0.0
    following = claimer(yard, MemoryBroker(is_away=True), lambda: now)
    assert following.claim() is None
    now = claiming.LOOK_S
    assert following.claim() is not None
    # And does not hammer the database when there is nothing.
    yard.publish(two=work("noop"))
    assert following.claim() is None


def test_a_claim_whose_answer_was_lost_is_found_again_and_not_made_twice(yard: Yard) -> None:
    pids = yard.publish(gone=work("noop"), a=work("noop"), b=work("noop"))
    broker = MemoryBroker()
    following = claimer(yard, broker, lambda: 0.0)
    Dispatcher(yard.database, broker).dispatch()
    take(yard)
    # The first hint is stale, so that other work is claimed; the answer to the COMMIT is lost.
    this = following._next_try(0.0)
    assert this is not None
    with yard.database.write() as connection:
        made = following._follow(connection, this, False)
    following._unanswered = this
    assert following.claim() == made
    assert yard.states([pids["a"], pids["b"]]) == [State.RUNNING, State.QUEUED]
