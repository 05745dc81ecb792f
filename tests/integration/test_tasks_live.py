"""The progress of a task as its owner is told it: the event stream as deployed, and a worker behind RabbitMQ."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sagashop.tasks.lease import Lease, Leases
from sagashop.tasks.runner import Done, Work
from sagashop.web.auth import Who
from services.orders.messages import PREFIX, MakeInvoice
from tests.integration.live_process import Live, told
from tests.integration.orders_world import World
from tests.integration.tasks_world import Office, paper
from tests.rabbit import RabbitServer
from tests.servers import eventually

pytestmark = pytest.mark.feature("F43")
WAIT_S = 20.0
CUSTOMER = Who("c1", "customer", "Demo")


@pytest.fixture
def office(redis_ledger: str, emptied_rabbit: RabbitServer, tmp_path: Path) -> Office:
    return Office(redis_ledger, emptied_rabbit, tmp_path)


@pytest.fixture
def live(office: Office, redis_ledger: str, redis_session: str, database_url: str) -> Iterator[Live]:
    process = Live(World(redis_ledger, redis_session, database_url), LIVE_CONNECTIONS="2")
    yield process
    process.stop()


def follow(live: Live, task_id: str, user_id: str = "c1") -> requests.Response:
    return live.stream(f"{PREFIX}/{task_id}/events", user_id)


def how_far(stream: Iterator[Any]) -> tuple[str, int]:
    """The next event: its name, and the progress in it."""
    _, name, task = next(stream)
    assert name == task["status"]
    return name, task["progress"]


class Steps:
    """A job that goes on when it is told to, and says how far it is."""

    def __init__(self) -> None:
        self._next = threading.Semaphore(0)

    def go_on(self) -> None:
        self._next.release()

    def __call__(self, message: MakeInvoice, work: Work) -> Done:
        for percent in (10, 40, 80):
            work.progress(percent, f"{percent} of 100 pages")
            assert self._next.acquire(timeout=WAIT_S)
        return paper(message, work)


def test_a_running_task_is_told_with_growing_progress_until_it_is_over_also_to_who_comes_back(
    office: Office, live: Live
) -> None:
    task_id, job = office.submit(), Steps()
    answer = follow(live, task_id)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = told(answer)
    assert how_far(events) == ("queued", 0)
    with office.working(job):
        seen = how_far(events)
        if seen == ("running", 0):  # it has begun, and said nothing so far
            seen = how_far(events)
        assert seen == ("running", 10)
        job.go_on()
        assert how_far(events) == ("running", 40)
        answer.close()
        job.go_on()
        eventually(lambda: office.task(task_id).progress == 80, WAIT_S)
        events = told(follow(live, task_id))
        assert how_far(events) == ("running", 80), "what it missed is over: it is told how it stands"
        job.go_on()
        ((_, last, task),) = events  # the server ends the stream
    assert (last, task["progress"], task["result"]) == ("succeeded", 100, f"/{task_id}")
    assert [name for _, name, _ in told(follow(live, task_id))] == ["succeeded"], "also to who comes after its end"


def test_a_task_that_fails_or_is_cancelled_is_told_with_the_reason(office: Office, live: Live) -> None:
    leases, failing, unwanted = Leases("orders", office.redis), office.submit(), office.submit()
    streams = [told(follow(live, each)) for each in (failing, unwanted)]
    assert [how_far(each) for each in streams] == [("queued", 0)] * 2
    lease: Any = leases.take(failing)
    assert isinstance(lease, Lease)
    assert how_far(streams[0]) == ("running", 0)
    assert lease.fail("there is nothing to write on")
    office.tasks.cancel(CUSTOMER, unwanted)
    ends = [[(name, task["reason"]) for _, name, task in each] for each in streams]
    assert ends == [[("failed", "there is nothing to write on")], [("cancelled", None)]]


def test_progress_is_for_the_owner_and_the_places_are_not_endless(office: Office, live: Live) -> None:
    task_id = office.submit()
    assert follow(live, task_id, "c2").status_code == 404
    assert follow(live, "0" * 32).status_code == 404
    assert requests.get(f"{live.url}{PREFIX}/{task_id}/events", timeout=5).status_code == 401
    open_ones = [follow(live, task_id) for _ in range(2)]
    assert [each.status_code for each in open_ones] == [200, 200]
    assert follow(live, task_id).status_code == 503
    lines = open_ones[1].iter_lines(chunk_size=1, decode_unicode=True)
    eventually(lambda: next(lines) == ": still here")
    open_ones[0].close()
    eventually(lambda: follow(live, task_id).status_code == 200)  # the next heartbeat finds that it has gone
