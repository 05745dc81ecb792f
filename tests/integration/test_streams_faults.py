"""Redis in trouble: groups lost, data gone, answers lost, restarted, full. The workers go on by themselves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from sagashop.effects import Add, Effects
from sagashop.errors import Unavailable
from tests.integration.rigs import working
from tests.integration.toy import COMMANDS, EVENTS, Count, Counted, Move, Toy, handlers, row
from tests.servers import RedisServer, eventually

Servers = Callable[..., RedisServer]


@contextmanager
def alive(toy: Toy) -> Iterator[None]:
    """Two workers in the real loop."""
    with working("toy", handlers(), toy.settings, workers=2):
        toy.tell(Count("first"))
        eventually(lambda: toy.row("first"))
        yield


@pytest.mark.feature("F13")
def test_a_lost_group_is_made_again_from_the_beginning_with_an_alert(redis_ledger: str) -> None:
    toy = Toy(redis_ledger)
    with capture_logs() as logs, alive(toy):
        toy.redis.xgroup_destroy(COMMANDS, "toy")
        toy.tell(Count("a"))
        eventually(lambda: toy.row("a") == {"n": "1"})
        assert any(line["event"] == "group.lost" for line in logs)
        assert len([line for line in logs if line["event"] == "group.lost"]) < 10, "no hot loop"


@pytest.mark.feature("F13")
def test_a_flushed_redis_is_made_usable_again(redis_ledger: str) -> None:
    toy = Toy(redis_ledger)
    with capture_logs() as logs, alive(toy):
        toy.redis.flushall()
        eventually(lambda: toy.redis.exists(COMMANDS))
        toy.tell(Count("a"))
        eventually(lambda: toy.row("a") == {"n": "1"})
        assert len([line for line in logs if line["event"] in ("group.lost", "broker.unreachable")]) < 10


@pytest.mark.feature("F13")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_loop_survives_a_restart_and_nothing_acknowledged_is_lost(own_redis: Servers, how: str) -> None:
    server = own_redis(durable=True)
    toy, accepted = Toy(server.url, visibility_s=0.3), 0
    with alive(toy):
        for _ in range(60):
            toy.tell(Move("a"))
            accepted += 1
        getattr(server, how)()
        with pytest.raises(Unavailable):
            toy.tell(Move("a"))
        server.start()
        toy.tell(Move("a"))
        eventually(lambda: toy.row("a").get("version") == str(accepted + 1), 20)
        eventually(lambda: not toy.pending())
    assert len(toy.letters) == 0
    assert toy.counted().count("a") == accepted + 1


@pytest.mark.feature("F13")
def test_a_redis_that_hangs_only_pauses_the_loop(own_redis: Servers) -> None:
    server = own_redis()
    toy = Toy(server.url, visibility_s=0.3)
    with alive(toy):
        server.freeze()
        with pytest.raises(Unavailable):
            toy.bus.load([row("a")])
        server.thaw()
        eventually(lambda: _told(toy))
        eventually(lambda: toy.row("a"))


def _told(toy: Toy) -> bool:
    with suppress(Unavailable):
        toy.tell(Count("a"))
        return True
    return False


@contextmanager
def losing_answers(server_url: str) -> Iterator[str]:
    """A way to the server on which everything passes but a script's answer `DONE`: there the connection breaks."""
    port = int(server_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    door = socket.create_server(("127.0.0.1", 0))

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as upstream:
            threading.Thread(target=answer, args=(upstream, client), daemon=True).start()
            while request := client.recv(1 << 20):
                upstream.sendall(request)

    def answer(upstream: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while (reply := upstream.recv(1 << 20)) and b"DONE" not in reply:
                client.sendall(reply)
            client.shutdown(socket.SHUT_RDWR)

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(door.accept()[0],), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{door.getsockname()[1]}/0"
    finally:
        door.close()


@pytest.mark.feature("F02")
def test_a_write_whose_answer_is_lost_is_never_sent_again_by_the_client(redis_ledger: str) -> None:
    toy = Toy(redis_ledger)
    with losing_answers(redis_ledger) as url:
        behind = Toy(url)
        with pytest.raises(Unavailable):
            behind.tell(Count("a"))
        assert len(toy.entries(COMMANDS)) == 1
        with pytest.raises(Unavailable):
            behind.bus.admit("toy", Effects([Counted("a")], [Add(row("a"), "n", 1)]))
        assert (toy.row("a"), len(toy.entries(EVENTS))) == ({"n": "1"}, 1)


@pytest.mark.feature("F02")
def test_a_commit_whose_answer_is_lost_counts_once(redis_ledger: str) -> None:
    toy = Toy(redis_ledger)
    toy.tell(Count("a"), Count("b"))
    with losing_answers(redis_ledger) as url, pytest.raises(RedisError):
        Toy(url).worker().step(5)
    assert (toy.row("a"), toy.row("b")) == ({"n": "1"}, {"n": "1"})
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and not toy.pending())
    assert (toy.row("a"), toy.row("b"), len(toy.counted())) == ({"n": "1"}, {"n": "1"}, 2)


@pytest.mark.feature("F19")
def test_new_work_stops_at_four_fifths_of_the_memory_and_the_backlog_drains_when_it_is_full(own_redis: Servers) -> None:
    server = own_redis("--maxmemory-policy", "noeviction")
    toy = Toy(server.url)
    toy.tell(*(Count("a") for _ in range(20)), Count("bad", mood="raise"))
    toy.redis.xadd(COMMANDS, {"foo": "bar"})
    used = int(toy.redis.info("memory")["used_memory"])
    toy.redis.config_set("maxmemory", int(used / 0.85))
    effects = Effects(write=[Add(row("door"), "n", 1)])
    with pytest.raises(Unavailable, match="nearly full"):
        toy.bus.admit("toy", effects)
    with pytest.raises(Unavailable, match="nearly full"):
        toy.tell(Count("late"))

    toy.redis.config_set("maxmemory", int(used * 0.9))
    with pytest.raises(RedisError):
        toy.redis.set("x", "y")
    with pytest.raises(Unavailable, match="no memory"):
        toy.bus.admit("toy", effects)
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and len(toy.letters) == 2)
    assert toy.row("a") == {"n": "20"}
    assert toy.pending() == 0
    assert toy.row("door") == {}

    toy.redis.config_set("maxmemory", used * 4)
    toy.bus.admit("toy", effects)
    assert toy.row("door") == {"n": "1"}
