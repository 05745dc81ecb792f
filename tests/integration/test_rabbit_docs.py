"""The programs in docs/rabbitmq.md, copied and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sagashop.rabbit.layout import UNROUTABLE, work_exchange, work_queue
from sagashop.rabbit.publisher import Outgoing, Publisher
from tests.rabbit import RabbitServer
from tests.readme import REPO, blocks, read, section
from tests.servers import eventually

pytestmark = pytest.mark.feature("F42")
LABELS = work_queue("fulfillment", "labels")


def program(title: str) -> str:
    (found,) = blocks(section(read("docs/rabbitmq.md"), title), "python")
    return found


def run(text: str, folder: Path, url: str) -> list[str]:
    """What it printed; other output of it stands in a failure only."""
    (folder / "copied.py").write_text(text)
    env = {"RABBITMQ_URL": url, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "copied.py"], cwd=folder, env=env, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_program_for_long_work_publishes_and_does_its_job(rabbit_server: RabbitServer, tmp_path: Path) -> None:
    before = rabbit_server.depth(UNROUTABLE)
    try:
        assert "Jetty 1, attempt 1" in run(program("Building on it"), tmp_path, rabbit_server.url("fulfillment"))
        eventually(lambda: rabbit_server.depth("fulfillment.labels") == 0)
        assert rabbit_server.depth(UNROUTABLE) == before
    finally:
        with rabbit_server.channel() as channel:
            for queue in LABELS.queues:
                if "labels" in queue.name:
                    channel.queue_delete(queue.name)


def test_the_program_that_looks_at_what_nobody_has_bound_tells_who_sent_it_and_leaves_it_there(
    rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    rabbit_server.purge([UNROUTABLE])
    publisher = Publisher(rabbit_server.url("fulfillment"), "test")
    publisher.publish([Outgoing(work_exchange("fulfillment"), "fulfillment.bookings", b"{}", type="BookParcel")])
    publisher.close()
    eventually(lambda: rabbit_server.depth(UNROUTABLE) == 1)
    look = program("What nobody has bound")
    told = "fulfillment.work fulfillment.bookings BookParcel b'{}'"
    assert run(look, tmp_path, rabbit_server.url()) == [told]
    eventually(lambda: rabbit_server.depth(UNROUTABLE) == 1)
    taking = look.replace("# channel.basic_ack", "channel.basic_ack")
    assert taking != look
    assert run(taking, tmp_path, rabbit_server.url()) == [told]
    eventually(lambda: rabbit_server.depth(UNROUTABLE) == 0)
