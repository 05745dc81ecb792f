"""Redis clients: one write is sent once, and errors say what to do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from sagashop import redis_clients
from sagashop.errors import NotReachable
from sagashop.settings import Settings
from tests.servers import free_port


class Swallower:
    """Takes every command and hangs up without a reply, as a server does that dies after carrying it out."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while b"XADD" not in (received := connection.recv(65_536)) and received:
                    connection.sendall(b"+OK\r\n" * received.count(b"*"))
                self.seen.append(received)


@pytest.fixture
def swallower() -> Iterator[Swallower]:
    server = Swallower()
    yield server
    server.stop()


@pytest.mark.parametrize("make", [redis_clients.ledger, redis_clients.blocking])
def test_a_write_whose_reply_is_lost_is_not_sent_again(
    swallower: Swallower, make: Callable[[Settings], redis.Redis]
) -> None:
    client = make(Settings(redis_ledger_url=swallower.url))
    with pytest.raises(redis.ConnectionError):
        client.xadd("stream", {"a": "1"})
    assert len(swallower.seen) == 1


def test_the_error_says_which_server_where_why_and_what_to_do() -> None:
    port = free_port()
    client = redis_clients.ledger(Settings(redis_ledger_url=f"redis://:hunter2@127.0.0.1:{port}/0"))
    with pytest.raises(NotReachable) as refused:
        redis_clients.check("redis-ledger", client)()
    text = str(refused.value)
    assert text.startswith(f"cannot reach redis-ledger at 127.0.0.1:{port} (connection refused).\n")
    assert "`make up`" in text
    assert "REDIS_LEDGER_URL" in text
    assert "hunter2" not in text


def test_a_value_that_is_no_redis_url_is_refused_before_anything_connects() -> None:
    with pytest.raises(NotReachable, match="not a Redis URL"):
        redis_clients.ledger(Settings(redis_ledger_url="localhost"))


def test_bytes_that_are_not_text_survive_the_way_through(redis_ledger: str) -> None:
    client = redis_clients.ledger(Settings(redis_ledger_url=redis_ledger))
    with redis.Redis.from_url(redis_ledger) as raw:
        raw.hset("foreign", "field", b"\xff\xfe")
        with client.pipeline() as pipe:
            pipe.hset("copy", "field", str(client.hget("foreign", "field")))
            pipe.execute()
        assert raw.hget("copy", "field") == b"\xff\xfe"


def test_blocking_reads_may_wait_their_full_time(redis_ledger: str) -> None:
    client = redis_clients.blocking(Settings(redis_ledger_url=redis_ledger))
    assert not client.xread({"nothing": "$"}, block=redis_clients.BLOCK_MS)
