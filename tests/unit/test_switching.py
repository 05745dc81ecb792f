"""Changing the bus: what is done in which order, and what becomes of a stack that cannot be changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.errors import StackError
from deploy.setup.bus import servers
from deploy.switching import change

pytestmark = pytest.mark.feature("F62")


class FakeSite:
    """Tells what was done to it. `left` is what each look finds; an error there is raised."""

    def __init__(self, *left: list[str] | Exception) -> None:
        self.done = list[str]()
        self._left: Iterator[list[str] | Exception] = iter(left)

    def close_door(self) -> None:
        self.done.append("close door")

    def stop_workers(self) -> None:
        self.done.append("stop workers")

    def open_again(self) -> None:
        self.done.append("open again")

    def left(self, bus: str, within_s: float) -> list[str]:
        self.done.append(f"look at {bus} for {within_s} s")
        found = next(self._left)
        if isinstance(found, Exception):
            raise found
        return found

    def move(self, new: str) -> None:
        self.done.append(f"move to {new}")


def test_an_empty_bus_is_looked_at_again_without_workers_and_then_left() -> None:
    site = FakeSite([], [])
    change(site, "redis", "rabbitmq", 60)
    looks = ["look at redis for 60 s", "stop workers", "look at redis for 0 s"]
    assert site.done == ["close door", *looks, "move to rabbitmq"]


@pytest.mark.parametrize("left", [(["a message"],), ([], ["what a worker gave back"])])
def test_what_is_left_is_named_and_all_runs_as_before(left: tuple[list[str], ...]) -> None:
    site = FakeSite(*left)
    with pytest.raises(StackError, match=rf"BUS stays redis(.|\n)*{left[-1][0]}(.|\n)*BUS=rabbitmq"):
        change(site, "redis", "rabbitmq", 60)
    assert (site.done[0], site.done[-1]) == ("close door", "open again")
    assert "move to rabbitmq" not in site.done


def test_a_server_that_goes_away_meanwhile_does_not_leave_the_door_closed() -> None:
    site = FakeSite(ConnectionError("redis-ledger is away"))
    with pytest.raises(ConnectionError):
        change(site, "redis", "rabbitmq", 60)
    assert site.done[-1] == "open again"


def test_containers_reach_the_servers_by_their_names_whatever_the_password() -> None:
    told = servers({"REDIS_LEDGER_PASSWORD": "a/b", "RABBITMQ_USER": "boss", "RABBITMQ_PASSWORD": "c@d"})
    assert told.ledger == "redis://admin:a%2Fb@redis-ledger:6379/0"
    assert told.rabbitmq == "amqp://boss:c%40d@rabbitmq:5672/%2F"
